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
	why reason
	old *oauth2.Token
	ctx context.Context // that of its step; set before it lands

	done       chan struct{} // closed when generation or failure is set
	once       sync.Once
	generation *generation // for those who wait
	failure    *AuthError

	heir *flight // for those who wait after this one has landed early; guarded by the grant's mutex

	brought *generation  // by the source; set before told is decided
	told    atomic.Int32 // who tells of what it brought: see leave
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
		_, end := call.Step(ctx, "token wait")
		defer func() { end(err.orNil()) }()
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

// fly asks the source for a token and lands f. It keeps the values of the
// leader's context, the trace among them, but not its end: a token request that
// is cut off half way may have cost the refresh token.
func (g *grant) fly(ctx context.Context, call policy.Call, f *flight) {
	ctx = context.WithoutCancel(ctx)
	stepCtx, end := call.Step(ctx, "token refresh: "+string(f.why), g.stepAttrs(f)...)
	f.ctx = stepCtx
	flightCtx, cancel := context.WithTimeout(context.WithValue(stepCtx, flightOf{g}, true), g.timeout)
	defer cancel()

	// A source that does not heed its context keeps nobody waiting. The flight
	// itself is not over before the source is, or there would be two at a time.
	stop := context.AfterFunc(flightCtx, func() { g.overdue(f) })

	var token *oauth2.Token
	err := error(errGoexit)
	asked := time.Now()
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
		stop()
		if cleaned := cleaned(flightCtx, err); cleaned != nil {
			err = cleaned
		}
		last, next, failure := g.settle(f, token, err, asked)
		end(failure.reason())
		f.brought = next
		byLeader := f.told.CompareAndSwap(leaderTells, decided)
		last.land(next, failure)
		if !byLeader {
			// No caller could guard itself against the panic of an observer here.
			defer func() { _ = recover() }()
			g.tell(call, f)
		}
	}()
	token, err = g.source.Token(flightCtx, f.old)
}

// tell tells of the generation that a flight has brought, if it has.
func (g *grant) tell(call policy.Call, f *flight) {
	next := f.brought
	if next == nil {
		return
	}
	attrs := g.stepAttrs(f)
	if next.usable != unlimited {
		attrs = append(attrs, slog.Duration("token.expires_in", next.token.Expiry.Sub(next.asked).Round(time.Millisecond)))
	}
	call.Emit(f.ctx, "auth.refreshed", attrs...)
}

func (g *grant) stepAttrs(f *flight) []slog.Attr {
	return []slog.Attr{slog.String("grant_type", grantType(g.source)), slog.String("refresh.reason", string(f.why))}
}

// overdue answers those who wait for f, or for what took its place. It does so
// with the mutex held, or set might put an heir in place that nobody lands.
func (g *grant) overdue(f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.last().land(nil, unavailable(errOverdue(g.timeout)))
}

// last returns the flight that others wait for while f is under way: f, or what
// took its place. It must be called with the grant's mutex held.
func (f *flight) last() *flight {
	for f.heir != nil {
		f = f.heir
	}
	return f
}

// settle takes down the outcome of a flight, and returns the one to land.
func (g *grant) settle(f *flight, token *oauth2.Token, err error, asked time.Time) (last *flight, next *generation, failure *AuthError) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last = f.last()
	if g.flight != last {
		return last, nil, errSuperseded
	}
	g.flight = nil
	if err == nil && token == nil {
		err = errNoAccessToken
	}
	if err == nil {
		// Whatever is wrong with the access token, the old refresh token has
		// been used up: keep the new one.
		g.last = inherit(token, g.last)
		next, err = newGeneration(token, g.prefix, g.anyType, asked)
	}
	if err != nil {
		g.failure = g.failed(err)
		return last, nil, g.failure
	}
	g.failure, g.failures = nil, 0
	if !g.current.Load().fresh() { // or else it was set meanwhile, and is to be used
		g.current.Store(next)
	}
	return last, next, nil
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
