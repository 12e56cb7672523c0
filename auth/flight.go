package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A flight is one request for a token. Those who wait for it may leave; it goes
// on without them.
type flight struct {
	why    reason
	source Source        // to ask
	old    *oauth2.Token // for the source
	under  *generation   // the current one when it began, or nil
	turns  turns         // to take one of, or nil
	labels []slog.Attr   // of what it says

	call    policy.Call                // whose it was at first; set, as what follows, before it lands
	ctx     context.Context            // that of its step
	end     func(error)                // of its step
	link    *atomic.Pointer[slog.Attr] // to its step
	waiters int                        // who joined it; guarded by the grant's mutex
	stale   bool                       // a refresh token was set meanwhile that it may know nothing of; so guarded, too

	done       chan struct{} // closed when generation or failure is set
	once       sync.Once
	generation *generation // for those who wait
	failure    *AuthError

	heir *flight // for those who wait after this one has landed early; guarded by the grant's mutex

	ending ending       // set before told is decided
	told   atomic.Int32 // who tells of the outcome: see leave
}

// Whoever leads tells of the outcome, so that it belongs to that call; if the
// leader has left by then, the flight does.
const (
	leaderTells int32 = iota
	flightTells
	decided
)

// leave is called by the leader when it does not wait any more. It reports
// whether the flight tells of the outcome.
func (f *flight) leave() bool { return f.told.CompareAndSwap(leaderTells, flightTells) }

// over returns a flight that has landed.
func over(g *generation, failure *AuthError) *flight {
	f := &flight{done: make(chan struct{})}
	f.land(g, failure)
	return f
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// land answers those who wait. Only the first answer counts.
func (f *flight) land(g *generation, failure *AuthError) {
	f.once.Do(func() {
		f.generation, f.failure = g, failure
		close(f.done)
	})
}

// wait returns when f has landed, or with an error when ctx has ended first.
// Those who wait for a flight of others show that in the trace; the flight of
// the one who leads shows itself.
func (f *flight) wait(ctx context.Context, call policy.Call, leads bool) (err *AuthError) {
	if f.landed() {
		return nil
	}
	if !leads {
		stepCtx, end := call.Step(ctx, "token wait", f.labels...)
		defer func() {
			if link := f.link.Load(); link != nil {
				call.Note(stepCtx, *link)
			}
			end(err.orNil())
		}()
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return errLeft(ctx)
	}
}

// inFlight reports whether ctx belongs to a flight of g: a token request that
// is on its way through the policy that waits for it.
func (g *grant) inFlight(ctx context.Context) bool { return ctx.Value(flightOf{g}) != nil }

type flightOf struct{ *grant }

// fly asks for a token and lands f. It keeps the values of the leader's
// context, the trace among them, but not its end: a token request that is cut off
// half way may have cost the refresh token.
func (g *grant) fly(ctx context.Context, call policy.Call, f *flight) {
	defer g.running.Done()
	origin := ctx
	if f.why == proactive {
		ctx = call.Detach(ctx) // nobody waits for it
	} else {
		ctx = context.WithoutCancel(ctx)
	}
	f.call = call
	f.ctx, f.end = call.Step(ctx, "token refresh: "+string(f.why), append(g.stepAttrs(f), f.labels...)...)
	link := call.Link(f.ctx) //nolint:contextcheck // as below
	f.link.Store(&link)
	flightCtx, cancel := context.WithTimeout(context.WithValue(f.ctx, flightOf{g}, true), g.limit())
	defer cancel()

	// A source that does not heed its context keeps nobody waiting. The flight
	// itself is not over before the source is, or there would be two at a time.
	stop := context.AfterFunc(flightCtx, func() { g.overdue(f) }) //nolint:contextcheck // A flight outlives whoever began it.

	arrival := arrival{asked: time.Now()}
	err := error(errGoexit)
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
		stop()
		if cleaned := cleaned(flightCtx, err); cleaned != nil {
			err = cleaned
		}
		last, next, failure := g.settle(f, arrival, err)
		g.warm(origin, call)
		byLeader := f.told.CompareAndSwap(leaderTells, decided)
		last.land(next, failure)
		if !byLeader {
			// No caller could guard itself against the panic of an observer here.
			defer func() { _ = recover() }()
			g.tell(f)
		}
	}()
	arrival, err = g.fetch(flightCtx, f) //nolint:contextcheck // as above
}

// limit is how long a flight may take.
func (g *grant) limit() time.Duration {
	limit := g.timeout
	if g.fleet != nil {
		limit = g.fleet.limit()
	}
	if g.turns != nil { // and first wait for one
		limit += g.timeout
	}
	return limit
}

// An ending is how a flight ended.
type ending struct {
	arrival arrival
	brought *generation // nil if it failed, or was superseded
	failure *AuthError
	number  int // of the generation
	waiters int
}

// say tells of something that happened on the way.
func (f *flight) say(event string, attrs ...slog.Attr) {
	f.call.Emit(f.ctx, event, append(attrs, f.labels...)...)
}

// tell tells of how a flight has ended, and ends its step.
func (g *grant) tell(f *flight) {
	e := f.ending
	defer f.end(e.failure.reason())
	attrs := g.stepAttrs(f)
	switch {
	case e.failure == errSuperseded, e.failure == errNoStepUp:
		return
	case e.failure != nil:
		attrs = append(attrs, e.failure.attrs()...)
		f.say("auth.refresh_failed", append(attrs, slog.Int("waiters", e.waiters))...)
		return
	}
	outcome := "refreshed"
	if e.arrival.adopted {
		outcome = "adopted"
	}
	attrs = append(attrs, slog.String("outcome", outcome), slog.Int("generation", e.number),
		slog.Bool("rotated", e.arrival.rotated), slog.Int("waiters", e.waiters))
	if g.fleet != nil {
		attrs = append(attrs, slog.Duration("lease.wait", e.arrival.waited.Round(time.Millisecond)))
	}
	if e.brought.usable != unlimited {
		lifetime := e.brought.token.Expiry.Sub(e.brought.asked)
		attrs = append(attrs, slog.Duration("token.expires_in", lifetime.Round(time.Millisecond)))
	}
	f.say("auth."+outcome, attrs...)
}

func (g *grant) stepAttrs(f *flight) []slog.Attr {
	return []slog.Attr{slog.String("grant_type", grantType(g.source)), slog.String("refresh.reason", string(f.why))}
}

// overdue answers those who wait for f, or for what took its place. It does so
// with the mutex held, or set might put an heir in place that nobody lands.
func (g *grant) overdue(f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.last().land(nil, unavailable(errOverdue(g.limit())))
}

// last returns the flight that others wait for while f is under way: f, or what
// took its place. It must be called with the grant's mutex held.
func (f *flight) last() *flight {
	for f.heir != nil {
		f = f.heir
	}
	return f
}

// succeed returns what takes the place of f, for those who wait from now on,
// while f lands early. It must be called with the grant's mutex held.
func (f *flight) succeed() *flight {
	f.heir = &flight{
		why: f.why, old: f.old, under: f.under, labels: f.labels, link: f.link, waiters: f.waiters, stale: f.stale,
		done: make(chan struct{}),
	}
	return f.heir
}

// settle takes down how a flight has ended, and returns the one to land, and
// what to land it with.
func (g *grant) settle(f *flight, a arrival, err error) (last *flight, next *generation, failure *AuthError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last = f.last()
	f.ending = ending{arrival: a, failure: errSuperseded}
	if g.flight != last {
		return last, nil, errSuperseded
	}
	g.flight = nil
	if last.stale { // what it brought is in the store, unless it is of a login before
		return last, nil, errSuperseded
	}
	f.ending.waiters = last.waiters
	if err == nil && a.token == nil {
		err = errNoAccessToken
	}
	if err == nil {
		// Whatever is wrong with the access token, the old refresh token has
		// been used up: keep the new one.
		g.last = inherit(a.token, g.last)
		next, err = g.minter.mint(a.token, a.asked, a.took)
	}
	if err != nil {
		failure = g.fail(f, err)
		f.ending.failure = failure
		return last, nil, failure
	}
	g.count++
	g.failure, g.failures = nil, 0
	if next.adopted = a.adopted; a.adopted && f.why == after401 {
		g.guard.forgive() // there has been no token request
	}
	if current := g.current.Load(); current == f.under || !current.fresh() { // or else it was set meanwhile, and is to be used
		g.current.Store(next)
	}
	f.ending.failure, f.ending.brought, f.ending.number = nil, next, g.count
	return last, next, nil
}

// fail takes down the failure of a flight. It must be called with g.mu held.
func (g *grant) fail(f *flight, err error) *AuthError {
	if f.why == stepUp { // which says nothing about tokens that are good enough
		return stepUpFailure(err)
	}
	g.failure = g.failed(err)
	if current := g.current.Load(); current != nil {
		// It stays in use while it is fresh, and is renewed when the pause is over.
		again := unlimited
		if !g.failure.until.IsZero() {
			again = g.failure.until.Sub(current.asked)
		}
		current.soften(again)
	}
	return g.failure
}

// An abortError is what becomes of a source that panics or ends its goroutine.
// It says nothing about the server.
type abortError string

func (e abortError) Error() string { return string(e) }

const errGoexit = abortError("the source called runtime.Goexit")

// panicError tells of a panic. Its value may hold anything, so it is told only
// if it is the runtime's.
func panicError(value any) error {
	if err, ok := value.(runtime.Error); ok {
		return abortError("the source panicked: " + err.Error())
	}
	return abortError(fmt.Sprintf("the source panicked with a value of type %T", value))
}

func errOverdue(after time.Duration) error {
	return fmt.Errorf("no answer within %v: %w", after, context.DeadlineExceeded)
}

var errSuperseded = unavailable(errors.New("another token was set meanwhile"))
