package auth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// replica returns the policy of one of those who share the server's refresh
// token through a store.
func (s *server) replica(store auth.Store) *auth.Policy {
	return auth.New(auth.Config{Source: s.refreshToken(), Store: store, Grant: "grant"})
}

// wantNoReuse checks that no refresh token was sent twice.
func (s *server) wantNoReuse(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := make(map[string]bool)
	for _, form := range s.forms {
		token := form.Get("refresh_token")
		if seen[token] {
			t.Errorf("%s was sent twice", token)
		}
		seen[token] = true
	}
}

// A faultyStore is a store with something done before its methods, which may
// fail, or take longer than they may.
type faultyStore struct {
	auth.Store
	load, swap func() error // nil for nothing
}

func (s *faultyStore) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if s.load != nil {
		if err := s.load(); err != nil {
			return nil, 0, err
		}
	}
	return s.Store.Load(ctx, key)
}

func (s *faultyStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if s.swap != nil {
		if err := s.swap(); err != nil {
			return 0, err
		}
	}
	return s.Store.Swap(context.WithoutCancel(ctx), key, value, rev)
}

// holds reports whether the record of the grant in store holds text.
func holds(t *testing.T, store auth.Store, text string) bool {
	t.Helper()
	value, _, err := store.Load(t.Context(), "grant")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(value, []byte(text))
}

func closeAll(t *testing.T, policies ...*auth.Policy) {
	t.Helper()
	for _, p := range policies {
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAuth32OneTokenRequestForARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{expiresIn: "2", delay: 50 * time.Millisecond}, &api{}, new(auth.MemoryStore)
		var policies []*auth.Policy
		var wg sync.WaitGroup
		for range 8 {
			p := as.replica(store)
			policies = append(policies, p)
			for range 20 {
				wg.Go(func() {
					for range 50 {
						if err := p.Do(t.Context(), testCall, rs.do); err != nil {
							t.Errorf("Do() = %v, want nil", err)
						}
						time.Sleep(rand.N(800 * time.Millisecond))
					}
				})
			}
		}
		wg.Wait()
		closeAll(t, policies...)
		as.wantNoReuse(t)
		// A token is used for 1.5 s, or replaced after 1.2 s at the soonest.
		if n := as.count(); n < 10 || n > 25 {
			t.Errorf("%d token requests in 20s, want one for each rotation", n)
		}
	})
}

// A 401 storm that reaches all replicas costs one token request, as they look
// for a token other than the refused one first.
func TestAuth32RefusedTokenIsReplacedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{delay: 50 * time.Millisecond}, &api{}, new(auth.MemoryStore)
		var policies []*auth.Policy
		for range 8 {
			p := as.replica(store)
			policies = append(policies, p)
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Fatal(err)
			}
		}
		if as.count() != 1 {
			t.Fatalf("%d token requests by 8 replicas, want 1", as.count())
		}
		rs.refuses = refuse("AT1")
		var wg sync.WaitGroup
		for _, p := range policies {
			for range 10 {
				wg.Go(func() {
					if err := p.Do(t.Context(), testCall, rs.do); err != nil {
						t.Errorf("Do() = %v, want nil", err)
					}
				})
			}
		}
		wg.Wait()
		if as.count() != 2 || rs.count("AT2") != 80 {
			t.Errorf("%d token requests and %d calls with the second token, want 2 and 80", as.count(), rs.count("AT2"))
		}
	})
}

// Two policies with a grant in common, but tokens of their own, take turns.
// A token that was asked for before the refusal, by another replica, may be
// refused as well. It is tried, as that costs nothing, and the call is made with
// a new one then.
func TestAuth32AdoptedTokenIsRefusedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{}, &api{}, new(auth.MemoryStore)
		policies := []*auth.Policy{as.replica(store), as.replica(store)}
		for _, p := range policies {
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Fatal(err)
			}
		}
		policies[0].Invalidate(&oauth2.Token{AccessToken: "AT1"})
		if err := policies[0].Do(t.Context(), testCall, rs.do); err != nil {
			t.Fatal(err)
		}
		rs.refuses = refuse("AT1", "AT2")
		for i, want := range []string{"AT1 AT1 AT2 AT1 AT2 AT3", "AT1 AT1 AT2 AT1 AT2 AT3 AT2 AT3"} {
			if err := policies[1-i].Do(t.Context(), testCall, rs.do); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
			if got := rs.tokens(); got != want {
				t.Errorf("calls carried %s, want %s", got, want)
			}
		}
		as.wantNoReuse(t)
		closeAll(t, policies...)
	})
}

func TestAuth16ReplicasOfWhichTheAPIRefusesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{}, &api{refuses: refuseAll}, new(auth.MemoryStore)
		policies := []*auth.Policy{as.replica(store), as.replica(store), as.replica(store)}
		for i := range 6500 {
			before := len(rs.tokens())
			err := policies[i%3].Do(t.Context(), testCall, rs.do)
			if err != policy.ErrUnauthenticated {
				t.Fatalf("Do() = %v, want %v", err, policy.ErrUnauthenticated)
			}
			if sent := strings.Count(rs.tokens()[before:], "AT"); sent > 3 {
				t.Errorf("the call was made %d times, want 3 at most", sent)
			}
			time.Sleep(10 * time.Millisecond)
		}
		// Each replaces a token at once, after 10 s, and after 20 s more.
		if got, want := as.count(), 1+3*len(policies); got > want {
			t.Errorf("%d token requests in 65s, want %d at most", got, want)
		}
		closeAll(t, policies...)
	})
}

func TestAuth03ScopesUnderOneGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int32
		as, store := &server{delay: time.Second}, new(auth.MemoryStore)
		as.answer = func(n int, form url.Values) (int, string) {
			if under.Add(1) != 1 {
				t.Error("two token requests at a time")
			}
			time.Sleep(time.Second)
			under.Add(-1)
			as.rotate()
			return 200, fmt.Sprintf(`{"access_token":"AT-%s","token_type":"Bearer","expires_in":3600,"refresh_token":"RT%d"}`, form.Get("scope"), n+1)
		}
		var wg sync.WaitGroup
		for _, scope := range []string{"read", "write"} {
			source := as.refreshToken()
			source.Scopes = []string{scope}
			p := auth.New(auth.Config{Source: source, Store: store, Grant: "grant"})
			for range 10 {
				wg.Go(func() {
					rs := &api{}
					if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT-"+scope {
						t.Errorf("Do() = %v with token %q, want nil with AT-%s", err, rs.tokens(), scope)
					}
				})
			}
		}
		wg.Wait()
		as.wantNoReuse(t)
		if as.count() != 2 {
			t.Errorf("%d token requests, want 2", as.count())
		}
	})
}

func TestAuth30SavedBeforeItIsHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, memory := &server{}, new(auth.MemoryStore)
		p := as.replica(&faultyStore{Store: memory, swap: func() error { time.Sleep(time.Second); return nil }})
		err := p.Do(t.Context(), testCall, func(context.Context, policy.Call) error {
			if !holds(t, memory, `"RT2"`) {
				t.Error("the call is made before the new refresh token is in the store")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// What cannot be saved is used, and saved later.
func TestAuth30SaveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, memory, said := &server{}, &api{}, new(auth.MemoryStore), &transcript{}
		var swaps atomic.Int32
		back := time.Now().Add(10 * time.Minute)
		down := func() error {
			if swaps.Load() > 1 && time.Now().Before(back) {
				return errDown
			}
			return nil
		}
		first := as.replica(&faultyStore{Store: memory, load: down, swap: func() error { swaps.Add(1); return down() }})
		second := as.replica(&faultyStore{Store: memory, load: down})
		if err := first.Do(t.Context(), testCall.WithRecorder(said), rs.do); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
		if got := said.String(); !strings.Contains(got, "auth.save_failed") {
			t.Errorf("want auth.save_failed, got:\n%s", got)
		}
		if err := second.Do(t.Context(), testCall, rs.do); !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Errorf("other replica: Do() = %v, want ErrTokenUnavailable", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := first.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close() = %v, want that it is not done after a minute", err)
		}
		time.Sleep(10 * time.Minute)
		if got := said.String(); !strings.Contains(got, "auth.saved") || !holds(t, memory, `"RT2"`) {
			t.Errorf("want the new refresh token saved, and auth.saved told, got:\n%s", got)
		}
		if err := second.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1 AT1" {
			t.Errorf("other replica: Do() = %v, tokens of all calls %q, want that AT1 is adopted", err, rs.tokens())
		}
		closeAll(t, first, second)
	})
}

// An answer of the store that gets lost does not make what it wrote a stranger's.
func TestAuth30SaveOfWhichNoAnswerCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, said := &server{expiresIn: "100"}, &api{}, &transcript{}
		p := as.replica(forgetful{new(auth.MemoryStore)})
		for range 5 {
			if err := p.Do(t.Context(), testCall.WithRecorder(said), rs.do); err != nil {
				t.Fatalf("Do() = %v, want nil", err)
			}
			time.Sleep(time.Hour)
		}
		as.wantNoReuse(t)
		if as.count() != 5 {
			t.Errorf("%d token requests, want 5", as.count())
		}
		if got := said.String(); strings.Count(got, "auth.saved") != 5 || strings.Contains(got, "auth.save_lost") {
			t.Errorf("want auth.saved five times, and no auth.save_lost, got:\n%s", got)
		}
		closeAll(t, p)
	})
}

// A forgetful store does not answer when a lease ends, though it writes that.
type forgetful struct{ auth.Store }

func (s forgetful) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	next, err := s.Store.Swap(ctx, key, value, rev)
	if err == nil && !bytes.Contains(value, []byte(`"holder"`)) {
		return 0, errDown
	}
	return next, err
}

// A replica that dies in mid-refresh, before its request is processed, has the
// others wait for as long as a lease lasts.
func TestAuth33HolderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		as, rs, memory := &server{}, &api{}, new(auth.MemoryStore)

		var dead atomic.Bool
		dies := func() error {
			if dead.Load() {
				return errDown
			}
			return nil
		}
		source := as.refreshToken()
		source.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			dead.Store(true)
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		victim := auth.New(auth.Config{Source: source, Timeout: timeout, Store: &faultyStore{memory, dies, dies}, Grant: "grant"})
		var wg sync.WaitGroup
		wg.Go(func() { _ = victim.Do(t.Context(), testCall, rs.do) })
		synctest.Wait()
		if !dead.Load() {
			t.Fatal("the victim asks for no token")
		}

		p := auth.New(auth.Config{Source: as.refreshToken(), Timeout: timeout, Store: memory, Grant: "grant"})
		start := time.Now()
		if err := p.Do(t.Context(), testCall, rs.do); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		if got := time.Since(start); got < 3*time.Second || got > 4*time.Second {
			t.Errorf("the next replica took over after %v, want 3s, which is how long a lease lasts", got)
		}
		wg.Wait()
		as.wantNoReuse(t)
	})
}

// Nothing is sent that could arrive when the lease has passed.
func TestAuth33RequestEndsBeforeItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second // of a lease of 3s
		as := &server{}
		var leased time.Time
		slow := []time.Duration{1100 * time.Millisecond, 900 * time.Millisecond, 0} // what the store takes, whatever its context says
		store := &faultyStore{Store: new(auth.MemoryStore), swap: func() error {
			leased = time.Now()
			d := slow[0]
			slow = slow[1:]
			time.Sleep(d)
			return nil
		}}
		source := as.refreshToken()
		source.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if end, ok := r.Context().Deadline(); !ok || end.Sub(leased) > 3*time.Second {
				t.Errorf("the request ends %v after the lease was asked for, want 3s at most", end.Sub(leased))
			}
			return as.RoundTrip(r)
		})}
		p := auth.New(auth.Config{Source: source, Timeout: timeout, Store: store, Grant: "grant"})
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil || as.count() != 1 {
			t.Errorf("Do() = %v after %d token requests, want nil after 1", err, as.count())
		}
	})
}

// A holder that comes back after its lease has passed must not overwrite what
// came since.
func TestAuth33LateHolderLoses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(auth.MemoryStore)
		replica := func(token string, takes time.Duration) *auth.Policy {
			return auth.New(auth.Config{Timeout: 2 * time.Second, Store: store, Grant: "grant", Source: source(
				func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					time.Sleep(takes)
					return &oauth2.Token{AccessToken: token, ExpiresIn: 3600}, nil
				})})
		}
		late, prompt := replica("LATE", 5*time.Second), replica("PROMPT", 0)
		rs := &api{}
		var wg sync.WaitGroup
		for _, p := range []*auth.Policy{late, prompt} {
			wg.Go(func() {
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if rs.tokens() != "PROMPT PROMPT" || !holds(t, store, "PROMPT") || holds(t, store, "LATE") {
			t.Errorf("calls with tokens %q, want that of the one who took over", rs.tokens())
		}
	})
}

func TestAuth34StoreDown(t *testing.T) {
	tests := map[string]struct {
		config func(*server, *auth.Config)
		opens  bool // goes on without the store
	}{
		"refresh token": {func(as *server, c *auth.Config) { c.Source = as.refreshToken() }, false},
		"FailOpen":      {func(as *server, c *auth.Config) { c.Source, c.FailOpen = as.refreshToken(), true }, true},
		"client credentials": {
			func(as *server, c *auth.Config) { c.Source = as.clientCredentials() }, true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs, memory := &server{expiresIn: "100"}, &api{}, new(auth.MemoryStore)
				var down atomic.Bool
				fault := func() error {
					if down.Load() {
						return errDown
					}
					return nil
				}
				c := auth.Config{Store: &faultyStore{memory, fault, fault}, Grant: "grant"}
				tt.config(as, &c)
				p := auth.New(c)
				do := func() error { return p.Do(t.Context(), testCall, rs.do) }
				if err := do(); err != nil {
					t.Fatal(err)
				}
				down.Store(true)
				time.Sleep(50 * time.Second)
				if err := do(); err != nil {
					t.Errorf("with a token that is still good: Do() = %v, want nil", err)
				}
				time.Sleep(50 * time.Second)
				err := do()
				switch {
				case tt.opens && (err != nil || as.count() != 2):
					t.Errorf("Do() = %v after %d token requests, want nil after 2", err, as.count())
				case !tt.opens && (!errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Throttled || as.count() != 1):
					t.Errorf("Do() = %v (%v) after %d token requests, want ErrTokenUnavailable (throttled) after 1", err, policy.ClassOf(err), as.count())
				}
				down.Store(false)
				time.Sleep(100 * time.Second)
				if err := do(); err != nil {
					t.Errorf("with the store back: Do() = %v, want nil", err)
				}
				closeAll(t, p)
				if name != "client credentials" {
					as.wantNoReuse(t)
				}
			})
		})
	}
}

// A store that has lost its records gets them back from whoever has them.
// However long the store has been down, replicas notice within a second that it
// is back.
func TestAuth34StoreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{}, &api{}, &faultyStore{Store: new(auth.MemoryStore)}
		var loads atomic.Int64
		store.load = func() error {
			loads.Add(1)
			return errDown
		}
		p := as.replica(store)
		for began := time.Now(); time.Since(began) < 10*time.Minute; time.Sleep(100 * time.Millisecond) {
			if err := p.Do(t.Context(), testCall, rs.do); !errors.Is(err, auth.ErrTokenUnavailable) {
				t.Fatalf("Do() = %v, want %v", err, auth.ErrTokenUnavailable)
			}
		}
		if n := loads.Load(); n > 1200 {
			t.Errorf("the store was asked %d times in 10 minutes, want no more than every half second", n)
		}
		store.load = nil
		time.Sleep(time.Second)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil {
			t.Errorf("Do() = %v a second after the store is back, want nil", err)
		}
		closeAll(t, p)
	})
}

func TestAuth34StoreForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{expiresIn: "100"}, &api{}
		store := &faultyStore{Store: new(auth.MemoryStore)}
		p := as.replica(store)
		for range 3 {
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Fatalf("Do() = %v, want nil", err)
			}
			time.Sleep(100 * time.Second)
			store.Store = new(auth.MemoryStore)
		}
		as.wantNoReuse(t)
	})
}

func TestAuth35ForeignRecords(t *testing.T) {
	for _, value := range []string{"", "null-ish", `[]`, `{"version":2,"refresh_token":"RTX"}`, `{"refresh_token":7}`} {
		synctest.Test(t, func(t *testing.T) {
			as, rs, store := &server{}, &api{}, new(auth.MemoryStore)
			if _, err := store.Swap(t.Context(), "grant", []byte(value), 0); err != nil {
				t.Fatal(err)
			}
			err := as.replica(store).Do(t.Context(), testCall, rs.do)
			if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected || as.count() != 0 {
				t.Errorf("record %q: Do() = %v (%v) after %d token requests, want ErrTokenUnavailable (rejected) after none", value, err, policy.ClassOf(err), as.count())
			}
			if strings.Contains(err.Error(), "RTX") {
				t.Errorf("Do() = %v, which tells what is in the store", err)
			}
		})
	}
}

// A replica whose clock is fast does not make its token live for ever.
func TestAuth35ClocksDiffer(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"fast": time.Hour, "right": 0} {
		t.Run(name, func(t *testing.T) {
			for after, want := range map[time.Duration]string{89 * time.Second: "AT1", 90 * time.Second: "AT2"} {
				synctest.Test(t, func(t *testing.T) {
					as, rs, store := &server{expiresIn: "100"}, &api{}, new(auth.MemoryStore)
					origin := as.replica(store)
					if _, err := origin.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					setIssuedAt(t, store, time.Now().Add(ahead))
					p := as.replica(store)
					if _, err := p.Token(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(after)
					if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != want {
						t.Errorf("after %v: Do() = %v with %q, want nil with %s", after, err, rs.tokens(), want)
					}
					closeAll(t, p)
				})
			}
		})
	}
}

// setIssuedAt has the tokens in store be issued at the given time.
func setIssuedAt(t *testing.T, store auth.Store, at time.Time) {
	t.Helper()
	value, rev, err := store.Load(t.Context(), "grant")
	if err != nil {
		t.Fatal(err)
	}
	issued := regexp.MustCompile(`"issued_at":"[^"]*"`)
	if !issued.Match(value) {
		t.Fatal("no issued_at in the record")
	}
	value = issued.ReplaceAll(value, fmt.Appendf(nil, `"issued_at":%q`, at.Format(time.RFC3339)))
	if _, err := store.Swap(t.Context(), "grant", value, rev); err != nil {
		t.Fatal(err)
	}
}

// A refresh token that is refused may have been replaced meanwhile.
func TestAuth25StoreIsReadAgainBeforeAGrantIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{}, &api{}, new(auth.MemoryStore)
		first, second := as.replica(store), as.replica(store)
		as.answer = func(_ int, form url.Values) (int, string) {
			if form.Get("refresh_token") != "RT1" {
				return 0, ""
			}
			as.setCurrent(7)
			if err := second.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT7"}); err != nil {
				t.Error(err)
			}
			return 400, `{"error":"invalid_grant"}`
		}
		if err := first.Do(t.Context(), testCall, rs.do); err != nil || as.count() != 2 {
			t.Errorf("Do() = %v after %d token requests, want nil after 2", err, as.count())
		}
		as.wantNoReuse(t)
	})
}

func TestAuth25LostGrantIsKnownToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, store := &server{current: 5}, &api{}, new(auth.MemoryStore)
		first, second, third := as.replica(store), as.replica(store), as.replica(store)
		for _, p := range []*auth.Policy{first, second, second, first} {
			if err := p.Do(t.Context(), testCall, rs.do); !errors.Is(err, auth.ErrReauthRequired) {
				t.Errorf("Do() = %v, want ErrReauthRequired", err)
			}
		}
		if as.count() != 1 {
			t.Errorf("%d token requests, want 1", as.count())
		}
		if err := second.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT5"}); err != nil {
			t.Fatal(err)
		}
		if err := second.Do(t.Context(), testCall, rs.do); err != nil {
			t.Errorf("where somebody logged in: Do() = %v, want nil", err)
		}
		time.Sleep(5 * time.Second)
		for _, p := range []*auth.Policy{first, third} {
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Errorf("elsewhere, 5s later: Do() = %v, want nil", err)
			}
		}
		as.wantNoReuse(t)
	})
}

// A program that is started with the refresh token of a new login goes on with
// that; one that is started with an old one does not spend it again.
func TestAuth32Redeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{expiresIn: "100"}, new(auth.MemoryStore)
		deploy := func(refreshToken string) *auth.Policy {
			source := as.refreshToken()
			source.RefreshToken = refreshToken
			return auth.New(auth.Config{Source: source, Store: store, Grant: "grant"})
		}
		for _, tt := range []struct {
			seed, want string
			current    int // the number of the refresh token that the server knows
		}{
			{"RT1", "RT1", 1},
			{"RT1", "RT2", 2},
			{"RT20", "RT20", 20},
			{"RT1", "RT21", 21},
			{"RT20", "RT22", 22},
		} {
			as.setCurrent(tt.current)
			p := deploy(tt.seed)
			if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
				t.Errorf("with %s: Do() = %v, want nil", tt.seed, err)
			}
			if got := as.form(as.count()).Get("refresh_token"); got != tt.want {
				t.Errorf("with %s: the server got %s, want %s", tt.seed, got, tt.want)
			}
			closeAll(t, p)
			time.Sleep(100 * time.Second)
		}
	})
}

// A request of which nobody knows whether it has arrived is made once more.
func TestAuth27OnePromptRetry(t *testing.T) {
	tests := map[string]struct {
		lost   int  // how many requests get lost
		swaps  bool // whether the record in the store changes meanwhile
		want   int  // requests
		wantOK bool
	}{
		"one is lost":                 {lost: 1, want: 2, wantOK: true},
		"all are lost":                {lost: 100, want: 2},
		"one is lost, store changed":  {lost: 1, swaps: true, want: 2, wantOK: true}, // by RT7
		"all are lost, store changed": {lost: 100, swaps: true, want: 3},             // one of which with RT1
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs, store := &server{}, &api{}, new(auth.MemoryStore)
				other := as.replica(store)
				var sent []string
				source := as.refreshToken()
				source.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					body, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					var text bytes.Buffer
					if _, err := text.ReadFrom(body); err != nil {
						return nil, err
					}
					form, err := url.ParseQuery(text.String())
					if err != nil {
						return nil, err
					}
					sent = append(sent, form.Get("refresh_token"))
					if tt.swaps && len(sent) == 1 {
						as.setCurrent(7)
						if err := other.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT7"}); err != nil {
							t.Error(err)
						}
					}
					if len(sent) <= tt.lost {
						return nil, errors.New("connection reset by peer")
					}
					return as.RoundTrip(r)
				})}
				p := auth.New(auth.Config{Source: source, Store: store, Grant: "grant"})
				err := p.Do(t.Context(), testCall, rs.do)
				if (err == nil) != tt.wantOK || len(sent) != tt.want {
					t.Errorf("Do() = %v after requests with %q, want %d of them, and success: %v", err, sent, tt.want, tt.wantOK)
				}
				if err != nil && (!errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Throttled) {
					t.Errorf("Do() = %v (%v), want ErrTokenUnavailable (throttled)", err, policy.ClassOf(err))
				}
				if tt.swaps && strings.Count(strings.Join(sent, " "), "RT1") != 1 {
					t.Errorf("sent %q, want RT1 once", sent)
				}
			})
		})
	}
}

func TestAuth27AnswersAreFinal(t *testing.T) {
	for _, status := range []int{400, 401, 408, 429, 500, 503} {
		synctest.Test(t, func(t *testing.T) {
			as := &server{answer: func(int, url.Values) (int, string) { return status, "{}" }}
			if err := as.policy().Do(t.Context(), testCall, (&api{}).do); err == nil || as.count() != 1 {
				t.Errorf("%d: Do() = %v after %d token requests, want an error after 1", status, err, as.count())
			}
		})
	}
}
