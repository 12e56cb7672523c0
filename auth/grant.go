package auth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A grant is the right to get tokens from a source. It holds the current one,
// and has it replaced, by one flight at a time, however many want it.
type grant struct {
	source  Source
	timeout time.Duration
	prefix  string
	anyType bool // whether tokens may be of a type that we do not know

	current atomic.Pointer[generation] // nil if there is none; may have expired
	guarded atomic.Bool                // whether guard holds anything back

	mu       sync.Mutex
	last     *oauth2.Token // what came last, with the refresh token to use next
	why      reason        // why there is no current generation
	flight   *flight       // under way, or nil
	failure  *AuthError    // of the last flight, or nil
	failures int           // in a row, of the kind that passes
	guard    guard
}

func newGrant(c Config) *grant {
	return &grant{source: c.Source, timeout: c.Timeout, prefix: c.Prefix, anyType: c.Inject != nil, why: missing}
}

// A reason is why a token is asked for.
type reason string

const (
	missing  reason = "missing"
	expired  reason = "expired"
	after401 reason = "after 401"
)

// obtain returns a generation that is fresh, and is not the refused one unless
// that must not be replaced now.
func (g *grant) obtain(ctx context.Context, call policy.Call, refused *generation) (*generation, *AuthError) {
	if current := g.current.Load(); current != refused && current.fresh() {
		return current, nil
	}
	for {
		if ctx.Err() != nil {
			return nil, errLeft(ctx)
		}
		f, leads := g.join(refused)
		if leads {
			go g.fly(ctx, call, f)
		}
		err := f.wait(ctx, call, leads)
		if leads && !f.leave() {
			g.tell(call, f)
		}
		if err != nil {
			return nil, err
		}
		if f.failure != errSuperseded {
			return f.generation, f.failure
		}
	}
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
	current := g.current.Load()
	if refused != nil && current == refused && current.fresh() {
		// If a flight is under way, the replacement is already coming.
		if g.flight == nil && !g.guard.admit(time.Now()) {
			return over(refused, nil), false
		}
		g.guarded.Store(true)
		g.current.Store(nil)
		current, g.why = nil, after401
	}
	switch {
	case current.fresh():
		return over(current, nil), false
	case g.flight != nil:
		return g.flight, false
	case g.failure.holds(time.Now()):
		return over(nil, g.failure), false
	}
	why := g.why
	if current != nil {
		why = expired
	}
	g.flight = &flight{done: make(chan struct{}), why: why, old: g.last}
	return g.flight, true
}

// accepted takes note that the server has accepted a generation.
func (g *grant) accepted(accepted *generation) {
	if !g.guarded.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current.Load() == accepted {
		g.guarded.Store(!g.guard.lift(time.Now()))
	}
}

// set makes token the one to go on with.
func (g *grant) set(token *oauth2.Token) error {
	var current *generation
	if token.AccessToken != "" {
		next, err := newGeneration(token, g.prefix, g.anyType, time.Now())
		// A token from before may well have expired. Its refresh token has not.
		if err != nil && (token.RefreshToken == "" || !errors.As(err, new(expiredError))) {
			return unavailable(err)
		}
		current = next
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flight
	// A flight that spends the very refresh token that we are to go on with goes on:
	// its answer holds the next one, and another flight would spend it twice.
	// So does one of which we do not know what it spends, until it is overdue.
	goesOn := false
	switch {
	case f == nil:
	case token.RefreshToken == "":
		goesOn = g.spends(f) != "" || !f.landed()
	default:
		goesOn = token.RefreshToken == g.spends(f)
	}
	if !goesOn {
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
		g.flight = &flight{done: make(chan struct{}), why: f.why, old: f.old}
		f.heir = g.flight
	}
	return nil
}

// spends returns the refresh token that a flight uses up.
func (g *grant) spends(f *flight) string {
	if f.old != nil && f.old.RefreshToken != "" {
		return f.old.RefreshToken
	}
	if s, ok := g.source.(interface{ firstRefreshToken() string }); ok {
		return s.firstRefreshToken()
	}
	return ""
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
