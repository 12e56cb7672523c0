package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A fleet is all those who share a grant through a store, seen from one of
// them.
//
// Whoever wants to use the refresh token takes a lease: it writes itself into
// the record as the holder. As a Swap succeeds only on the record that was
// loaded, the refresh token found there is still the one to use. What the use
// brings is written in place of the record with the lease, and only then handed
// out. The others adopt it.
//
// A holder that dies leaves its lease behind. It is dead when the record has
// been seen unchanged for as long as a lease lasts, by the clock of the one who
// watches. Some time before that, who watches gives notice, by making itself the
// holder: the other may have used the refresh token, and be unable to write what
// that brought. It still can, until somebody else has used the same one.
type fleet struct {
	store    Store
	key      string
	slot     string // of our tokens in the record
	first    string // refresh token to begin with, or ""
	failOpen bool
	timeout  time.Duration // of a token request: two thirds of a lease
	minter   minter
	self     string // as the holder of a lease

	running *sync.WaitGroup

	mu      sync.Mutex
	unsaved *version // what could not be written yet, or nil
}

func newFleet(c Config, minter minter, running *sync.WaitGroup) *fleet {
	return &fleet{
		store:    c.Store,
		key:      c.Grant,
		slot:     slotOf(c.Source),
		first:    firstOf(c.Source),
		failOpen: c.FailOpen,
		timeout:  c.Timeout,
		minter:   minter,
		self:     rand.Text(),
		running:  running,
	}
}

// ttl is how long a lease lasts.
func (m *fleet) ttl() time.Duration { return m.timeout + m.timeout/2 }

// notice is how long whoever takes over waits before it uses the refresh token:
// long enough for another attempt to write what that has brought.
func (m *fleet) notice() time.Duration { return m.ttl() / 3 }

// limit is how long a flight may take: somebody else's lease, and our own.
func (m *fleet) limit() time.Duration { return 2*m.ttl() + m.timeout }

// patience is how long one access to the store may take.
func (m *fleet) patience() time.Duration { return max(m.timeout/5, time.Millisecond) }

// A version is the record of a certain revision.
type version struct {
	record
	rev   uint64
	spent []string // the refresh tokens that were used since, up to the record's
}

// fetch gets a token, from the record or from the source, and has it in the
// record when it returns.
func (m *fleet) fetch(ctx context.Context, f *flight) (arrival, error) {
	began := time.Now()
	if err := m.flush(ctx, f); err != nil && !errors.Is(err, ErrConflict) {
		return m.fetchAlone(ctx, f, err)
	}
	var seen sighting
	for pause := minPause; ; pause = min(2*pause, m.ttl()/16) {
		v, err := m.load(ctx)
		if err != nil {
			return m.fetchAlone(ctx, f, err)
		}
		m.begin(&v, f.old)
		waited := time.Since(began)
		if a, ok := v.adopt(m.slot, f.old); ok && m.takes(a) {
			a.waited = waited
			return a, nil
		}
		wait := pause/2 + mathrand.N(pause)
		switch {
		case v.Lost:
			return arrival{}, errLost
		case v.Holder == "", v.Holder == m.self:
			a, err := m.fetchLeased(ctx, f, v)
			if !errors.Is(err, ErrConflict) {
				a.waited = waited
				return a, err
			}
		case seen.unchanged(v.rev) >= m.ttl()-m.notice():
			v.Holder = m.self
			if _, err := m.swap(ctx, v); err == nil {
				wait = m.notice()
			}
		}
		if err := policy.Sleep(ctx, wait); err != nil {
			return arrival{}, fmt.Errorf("another replica has been asking for too long: %w", err)
		}
	}
}

const minPause = 10 * time.Millisecond

// A sighting is the revision that was seen last, and for how long.
type sighting struct {
	rev   uint64
	since time.Time
}

// unchanged returns for how long the revision has been the same.
func (s *sighting) unchanged(rev uint64) time.Duration {
	if s.since.IsZero() || s.rev != rev {
		*s = sighting{rev, time.Now()}
	}
	return time.Since(s.since)
}

// begin has a record take up the refresh token that the program was given, if
// that is new. A record that is gone is made anew from what we have.
func (m *fleet) begin(v *version, old *oauth2.Token) {
	v.login(m.first)
	if v.rev == 0 && old != nil && old.RefreshToken != "" {
		v.RefreshToken = old.RefreshToken
	}
}

// takes reports whether a token of another replica is good enough for us. It may
// be older than we allow, or of a type that we cannot use.
func (m *fleet) takes(a arrival) bool {
	g, err := m.minter.mint(a.token, a.asked, 0)
	return err == nil && g.fresh()
}

// fetchAlone gets a token while the store is out of reach because of err, if
// that does no harm, or is wanted all the same.
func (m *fleet) fetchAlone(ctx context.Context, f *flight, err error) (arrival, error) {
	spent := spends(f.source, f.old)
	if policy.ClassOf(err) == policy.Permanent || spent != "" && !m.failOpen {
		return arrival{}, err
	}
	end, crowded := f.takeTurn(ctx, m.timeout)
	if crowded != nil {
		return arrival{}, crowded
	}
	defer end()
	requestCtx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	a, failure := ask(requestCtx, f.source, f.old, nil)
	switch {
	case errors.Is(failure, errLoggedOut):
		return arrival{}, err // as the store may know better
	case failure != nil, a.token == nil, spent == "":
		return a, failure
	}
	v := version{record: record{Version: recordVersion}}
	if last := m.pending(); last != nil {
		v = *last
	}
	v.login(m.first)
	v.use(spent)
	v.put(m.slot, a.token, a.asked)
	m.keepLater(ctx, f, v, err)
	return a, nil
}

// fetchLeased takes the lease and asks the source. Its error is [ErrConflict] if
// somebody else has had the record meanwhile.
func (m *fleet) fetchLeased(ctx context.Context, f *flight, v version) (a arrival, err error) {
	end, err := f.takeTurn(ctx, m.timeout) // before anybody waits for us
	if err != nil {
		return arrival{}, err
	}
	defer end()
	ctx = context.WithoutCancel(ctx) // a lease is seen through: each step has a limit of its own
	began := time.Now()
	v.Holder = m.self
	if v, err = m.swap(ctx, v); err != nil {
		return arrival{}, err
	}
	if time.Since(began) > m.ttl()-m.timeout {
		return arrival{}, ErrConflict // by now others may take us for dead
	}
	used := false
	defer func() {
		if !used { // also if the source panics
			m.release(ctx, v, loses(f, err))
		}
	}()
	requestCtx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	a, err = ask(requestCtx, f.source, m.lent(v, f.old), func() bool { return m.changed(ctx, v) })
	switch {
	case err == nil && a.token == nil:
		return arrival{}, errNoAccessToken
	case err == nil:
		used = true
		v.use(v.RefreshToken)
		v.put(m.slot, a.token, a.asked)
		v.Holder = ""
		a.token = inherit(a.token, &oauth2.Token{RefreshToken: v.RefreshToken})
		return a, m.keep(ctx, f, v)
	case (loses(f, err) || ambiguous(err)) && m.changed(ctx, v):
		used = true
		return arrival{}, ErrConflict // which explains why it was refused
	}
	return arrival{}, err
}

// loses reports whether err, of a flight, says that the grant is lost, and not
// that of another policy on which the source depends, nor that a step-up needs a
// login.
func loses(f *flight, err error) bool {
	_, nested := errors.AsType[*AuthError](err)
	return errors.Is(err, ErrReauthRequired) && !nested && f.why != stepUp
}

// lent returns the token to ask the source with.
func (m *fleet) lent(v version, old *oauth2.Token) *oauth2.Token {
	if v.RefreshToken == "" {
		return old
	}
	token := &oauth2.Token{RefreshToken: v.RefreshToken}
	if old != nil {
		token.AccessToken, token.TokenType, token.Expiry = old.AccessToken, old.TokenType, old.Expiry
	}
	return token
}

// release gives the lease back, and tells the others if the grant is lost. If it
// cannot, they wait until it has passed.
func (m *fleet) release(ctx context.Context, v version, lost bool) {
	refused := v.RefreshToken
	for v.Holder == m.self {
		v.Holder, v.Lost = "", lost && v.RefreshToken == refused
		if _, err := m.swap(ctx, v); !errors.Is(err, ErrConflict) {
			return
		}
		v, _ = m.load(ctx) // somebody may have set an access token
	}
}

// changed reports whether the lease is not known to be ours still, on the
// refresh token of v.
func (m *fleet) changed(ctx context.Context, v version) bool {
	now, err := m.load(ctx)
	return err != nil || now.Holder != m.self || now.RefreshToken != v.RefreshToken
}

// load loads the record.
func (m *fleet) load(ctx context.Context) (version, error) {
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	value, rev, err := m.store.Load(ctx, m.key)
	if err != nil {
		return version{}, &storeError{"load", err}
	}
	r, err := parseRecord(value, rev)
	if err != nil {
		return version{}, &storeError{"load", err}
	}
	return version{record: r, rev: rev}, nil
}

// swap writes the record, and returns it with its new revision.
func (m *fleet) swap(ctx context.Context, v version) (version, error) {
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	value, err := json.Marshal(v.record)
	if err != nil {
		return v, &storeError{"swap", errRecord}
	}
	next, err := m.store.Swap(ctx, m.key, value, v.rev)
	if err != nil {
		return v, &storeError{"swap", err}
	}
	v.rev = next
	return v, nil
}

// put writes a token that the program was given into the record.
func (m *fleet) put(ctx context.Context, token *oauth2.Token) error {
	for {
		v, err := m.load(ctx)
		if err != nil {
			return err
		}
		v.login(m.first)
		v.login(token.RefreshToken)
		if v.RefreshToken == token.RefreshToken { // it may be good all the same
			v.Lost = false
		}
		given := *token
		given.RefreshToken = "" // or else it is there now, or has been
		v.put(m.slot, &given, time.Now())
		if _, err = m.swap(ctx, v); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := policy.Sleep(ctx, mathrand.N(minPause)); err != nil {
			return err
		}
	}
}

// A storeError is what a store says about its failure.
type storeError struct {
	op  string
	err error
}

func (e *storeError) Error() string { return "store: " + e.op + ": " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

const (
	errLost      = lostError("the grant in the store is lost, as a replica was told")
	errLoggedOut = lostError("there is no refresh token yet")
)

// A lostError says that somebody has to log in.
type lostError string

func (e lostError) Error() string      { return string(e) }
func (lostError) Is(target error) bool { return target == ErrReauthRequired }
