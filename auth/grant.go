package auth

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A grant is the right to get tokens from a source. It holds the current one,
// and has it replaced, by one flight at a time, however many want it.
type grant struct {
	source   Source
	timeout  time.Duration // of a token request
	fleet    *fleet        // nil if nobody else uses this grant
	stepUp   func(ctx context.Context, old *oauth2.Token, challenges []Challenge) (*oauth2.Token, error)
	minter   minter
	keepWarm bool
	turns    turns       // nil if there is no bound
	labels   []slog.Attr // of events and steps; must not be changed

	current atomic.Pointer[generation] // nil if there is none; may have expired
	guarded atomic.Bool                // whether guard holds anything back
	running sync.WaitGroup             // flights, and what they leave to be done

	mu       sync.Mutex
	last     *oauth2.Token // what came last, with the refresh token to use next
	count    int           // of the generations that there have been
	why      reason        // why there is no current generation
	flight   *flight       // under way, or nil
	failure  *AuthError    // of the last flight, or nil
	failures int           // in a row, of the kind that passes
	guard    guard
	warmer   *time.Timer // renews the current generation without a call, or nil
	closed   bool
}

func newGrant(c Config) *grant {
	g := &grant{
		source:   c.Source,
		timeout:  c.Timeout,
		stepUp:   c.StepUp,
		minter:   minter{c.Prefix, c.Inject != nil, c.MaxAge, c.JWTExpiry},
		keepWarm: c.KeepWarm,
		why:      missing,
	}
	if c.Store != nil {
		g.fleet = newFleet(c, g.minter, &g.running)
	}
	return g
}

// A reason is why a token is asked for.
type reason string

const (
	missing   reason = "missing"
	expired   reason = "expired"
	after401  reason = "after 401"
	proactive reason = "proactive"
	stepUp    reason = "step-up"
)

// obtain returns a generation that is fresh, and is not the refused one unless
// that must not be replaced now.
func (g *grant) obtain(ctx context.Context, call policy.Call, refused *generation) (*generation, *AuthError) {
	if current := g.current.Load(); current != nil && current != refused {
		if age := time.Since(current.asked); age < current.usable {
			if age >= current.softAge() {
				g.renew(ctx, call, current)
			}
			if refused == nil {
				call.Note(ctx, fromCache)
			}
			return current, nil
		}
	}
	for {
		if ctx.Err() != nil {
			return nil, errLeft(ctx)
		}
		f, leads := g.join(refused)
		if err := g.ride(ctx, call, f, leads); err != nil {
			return nil, err
		}
		others := f.why == stepUp // whose failure is not ours
		if f.failure == errSuperseded || f.failure != nil && others && !g.underWay(f) {
			continue
		}
		return f.generation, f.failure
	}
}

var fromCache = slog.String("token.source", "cache")

// raise returns a generation that meets challenges which the refused one does
// not, or the refused one if there is none to be had.
func (g *grant) raise(ctx context.Context, call policy.Call, refused *generation, challenges []Challenge) (*generation, *AuthError) {
	for {
		if ctx.Err() != nil {
			return nil, errLeft(ctx)
		}
		f, leads := g.joinStepUp(refused, challenges)
		if err := g.ride(ctx, call, f, leads); err != nil {
			return nil, err
		}
		others := f.why != "" && f.why != stepUp // whose failure is not ours
		switch {
		case f.failure == errSuperseded, f.failure != nil && others && !g.underWay(f):
			continue
		case f.failure == errNoStepUp:
			return refused, nil
		}
		return f.generation, f.failure
	}
}

// ride waits for a flight, which it starts if it leads.
func (g *grant) ride(ctx context.Context, call policy.Call, f *flight, leads bool) *AuthError {
	if leads {
		go g.fly(ctx, call, f)
	}
	switch {
	case leads:
		call.Note(ctx, slog.String("token.source", "refresh"))
	case !f.landed():
		call.Note(ctx, slog.String("token.source", "shared_refresh"))
	case f.generation != nil:
		call.Note(ctx, fromCache)
	}
	err := f.wait(ctx, call, leads)
	if leads && !f.leave() {
		g.tell(f)
	}
	return err
}

// underWay reports whether f is the flight under way, even if those who waited
// have been answered, as it is overdue.
func (g *grant) underWay(f *flight) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flight == f
}

// renew has the current generation replaced ahead of time. Nobody waits for it.
func (g *grant) renew(ctx context.Context, call policy.Call, current *generation) {
	g.mu.Lock()
	if g.closed || g.flight != nil || g.current.Load() != current || time.Since(current.asked) < current.softAge() {
		g.mu.Unlock()
		return
	}
	current.soften(unlimited) // until it fails
	f := g.begin(proactive, g.source)
	g.mu.Unlock()
	f.leave()
	go g.fly(ctx, call, f)
}

// replace has a refused generation replaced, and does not wait for it.
func (g *grant) replace(ctx context.Context, call policy.Call, refused *generation) {
	if f, leads := g.join(refused); leads {
		f.leave()
		go g.fly(ctx, call, f)
	}
}

// join returns the flight that brings the next generation, and whether the
// caller is to start it. If there is nothing to wait for, the flight has landed.
func (g *grant) join(refused *generation) (f *flight, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.dismiss(refused) {
		return over(refused, nil), false
	}
	current := g.current.Load()
	switch {
	case current.fresh():
		return over(current, nil), false
	case g.flight != nil:
		g.flight.waiters++
		return g.flight, false
	case g.closed:
		return over(nil, errClosed), false
	case g.failure.holds(time.Now()):
		return over(nil, g.failure), false
	}
	why := g.why
	if current != nil {
		why = expired
	}
	return g.begin(why, g.source), true
}

// joinStepUp is join for a generation that is good, but not enough.
func (g *grant) joinStepUp(refused *generation, challenges []Challenge) (f *flight, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	current := g.current.Load()
	switch {
	case current != refused && current.fresh():
		return over(current, nil), false
	case g.flight != nil:
		g.flight.waiters++
		return g.flight, false
	case g.closed:
		return over(nil, errClosed), false
	case !g.guard.admit(time.Now()):
		return over(refused, nil), false
	}
	g.guard.weak = refused.header
	g.guarded.Store(true)
	return g.begin(stepUp, handler{g.stepUp, challenges}), true
}

// begin makes a flight the one under way. It must be called with g.mu held, and
// the flight must then be flown.
func (g *grant) begin(why reason, source Source) *flight {
	g.running.Add(1)
	g.flight = &flight{
		why: why, source: source, old: g.last, under: g.current.Load(), turns: g.turns, labels: g.labels,
		link: new(atomic.Pointer[slog.Attr]), done: make(chan struct{}),
	}
	return g.flight
}

// dismiss takes a refused generation out of use, unless it is so already. It
// reports whether there is to be another one. It must be called with g.mu held.
func (g *grant) dismiss(refused *generation) bool {
	current := g.current.Load()
	if refused == nil || current != refused || !current.fresh() {
		return true
	}
	// If a flight is under way, the replacement is already coming.
	if g.flight == nil && !g.guard.admit(time.Now()) {
		return false
	}
	g.guarded.Store(true)
	g.current.Store(nil)
	g.why = after401
	return true
}

// invalidate takes the generation of an access token out of use.
func (g *grant) invalidate(accessToken string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if current := g.current.Load(); current != nil && current.token.AccessToken == accessToken {
		g.dismiss(current)
	}
}

// warm has the current generation renewed in time, if there is one, whether
// there are calls or not. It goes on with the values of ctx.
func (g *grant) warm(ctx context.Context, call policy.Call) {
	if ctx.Done() != nil { // or else it would grow with each renewal
		ctx = context.WithoutCancel(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	current := g.current.Load()
	if !g.keepWarm || g.closed || current == nil || current.softAge() == unlimited {
		return
	}
	if g.warmer != nil {
		g.warmer.Stop()
	}
	g.warmer = time.AfterFunc(current.softAge()-time.Since(current.asked), func() {
		g.renew(ctx, call, current)
	})
}

// close has g start nothing any more, and waits for what is under way.
func (g *grant) close(ctx context.Context) error {
	g.shut()
	return g.wait(ctx)
}

// shut has g start nothing any more.
func (g *grant) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop()
}

// stop is shut with g.mu held.
func (g *grant) stop() {
	g.closed = true
	if g.warmer != nil {
		g.warmer.Stop()
	}
}

// retire has g start nothing any more, and reports whether it has: not while
// something is under way, nor if nobody else has the refresh token to use next.
func (g *grant) retire() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flight != nil || g.keeps() {
		return false
	}
	g.stop()
	return true
}

// keeps reports whether g is the only one to have something that cannot be got
// again. It must be called with g.mu held.
func (g *grant) keeps() bool {
	if g.fleet != nil {
		return g.fleet.keeps()
	}
	next := spends(g.source, g.last)
	return next != "" && next != firstOf(g.source)
}

// wait waits for what is under way.
func (g *grant) wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		g.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flight == nil && (g.fleet == nil || !g.fleet.keeps()) {
		return nil
	}
	return errUnfinished(context.Cause(ctx))
}

// accepted takes note that the server has accepted a generation.
func (g *grant) accepted(accepted *generation) {
	if !g.guarded.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current.Load() == accepted {
		g.guarded.Store(!g.guard.lift(accepted.header, time.Now()))
	}
}

// set makes token the one to go on with.
func (g *grant) set(ctx context.Context, token *oauth2.Token) error {
	var current *generation
	if token.AccessToken != "" {
		next, err := g.minter.mint(token, time.Now(), 0)
		// A token from before may well have expired. Its refresh token has not.
		if err != nil && (token.RefreshToken == "" || !errors.As(err, new(expiredError))) {
			return unavailable(err)
		}
		current = next
	}
	if g.fleet != nil {
		if err := g.fleet.put(ctx, token); err != nil {
			return unavailable(err)
		}
	}
	defer g.warm(ctx, policy.Call{})
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flight
	// A flight that spends the very refresh token that we are to go on with goes on:
	// its answer holds the next one, and another flight would spend it twice.
	// So does one of which we do not know what it spends, until it is overdue.
	goesOn := false
	switch {
	case f == nil:
	case g.fleet != nil: // it notices, but perhaps not any more
		goesOn = true
		f.stale = f.stale || token.RefreshToken != ""
	case token.RefreshToken == "":
		goesOn = spends(g.source, f.old) != "" || !f.landed()
	default:
		goesOn = token.RefreshToken == spends(g.source, f.old)
	}
	if !goesOn || g.fleet != nil {
		g.last = inherit(token, g.last)
	}
	g.current.Store(current)
	g.why, g.failure, g.failures = missing, nil, 0
	g.guard = guard{}
	g.guarded.Store(false)
	switch {
	case f == nil:
	case !goesOn:
		f.land(nil, errSuperseded)
		g.flight = nil
	case current.fresh() && !f.landed():
		f.land(current, nil) // nobody has to wait any more
		g.flight = f.succeed()
	}
	return nil
}

// inherit returns a copy of token with the refresh token of old if it has none
// itself: then that one remains valid (RFC 6749, section 6).
func inherit(token, old *oauth2.Token) *oauth2.Token {
	next := *token
	if next.RefreshToken == "" && old != nil {
		next.RefreshToken = old.RefreshToken
	}
	return &next
}
