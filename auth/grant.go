package auth

import (
	"context"
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
		if err := f.wait(ctx, call, leads); err != nil {
			return nil, err
		}
		if f.failure != errSuperseded {
			return f.generation, f.failure
		}
		refused = nil
	}
}

// join returns the flight that brings the next generation, and whether the
// caller is to start it. If there is nothing to wait for, the flight has landed.
func (g *grant) join(refused *generation) (f *flight, leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	current := g.current.Load()
	if refused != nil && current == refused {
		if !g.guard.admit(time.Now()) {
			return landed(refused, nil), false
		}
		g.guarded.Store(true)
		g.current.Store(nil)
		current, g.why = nil, after401
	}
	switch {
	case current.fresh():
		return landed(current, nil), false
	case g.flight != nil:
		return g.flight, false
	case g.failure.holds(time.Now()):
		return landed(nil, g.failure), false
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
		now := time.Now()
		next, err := newGeneration(token, g.prefix, g.anyType, now)
		if err != nil {
			return unavailable(err)
		}
		current = next
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = inherit(token, g.last)
	g.current.Store(current)
	g.why, g.failure, g.failures = missing, nil, 0
	g.guard = guard{}
	g.guarded.Store(false)
	if g.flight != nil {
		g.flight.land(nil, errSuperseded)
		g.flight = nil
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
