package auth_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

type tenantKey struct{}

// as returns a context for calls on behalf of a tenant.
func as(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

func tenantOf(ctx context.Context, _ policy.Call) (string, error) {
	tenant, ok := ctx.Value(tenantKey{}).(string)
	if !ok {
		return "", errors.New("the context has no tenant")
	}
	return tenant, nil
}

// A town is an authorization server for each tenant. Their tokens tell whose
// they are: those of a are a1, a2, and so on.
type town struct {
	hangs  func(tenant string) bool // whether its server does not answer
	deaf   bool                     // it does not even heed the context
	expiry int64                    // of tokens, in seconds; 0 for an hour
	answer func(tenant string, n int, old *oauth2.Token) (*oauth2.Token, error)

	mu      sync.Mutex
	asked   map[string]int
	running int
	most    int // requests at a time
	news    int // calls of New
}

func (w *town) source(tenant string) source {
	return func(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
		n := w.begin(tenant)
		defer w.end()
		switch {
		case w.deaf && w.hangs(tenant):
			time.Sleep(time.Hour)
			return nil, errors.New("late")
		case w.hangs != nil && w.hangs(tenant):
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case w.answer != nil:
			return w.answer(tenant, n, old)
		}
		return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n), ExpiresIn: cmp.Or(w.expiry, 3600)}, nil
	}
}

func (w *town) begin(tenant string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked == nil {
		w.asked = make(map[string]int)
	}
	w.asked[tenant]++
	w.running++
	w.most = max(w.most, w.running)
	return w.asked[tenant]
}

func (w *town) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
}

// count returns how many tokens of a tenant were asked for.
func (w *town) count(tenant string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[tenant]
}

func (w *town) config() auth.KeyedConfig {
	return auth.KeyedConfig{Key: tenantOf, New: func(_ context.Context, tenant string) (auth.Config, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.news++
		return auth.Config{Source: w.source(tenant)}, nil
	}}
}

// get makes a call on behalf of a tenant and returns the token that it was made
// with.
func get(ctx context.Context, k *auth.Keyed, tenant string) (string, error) {
	token := ""
	err := k.Do(as(ctx, tenant), testCall, func(_ context.Context, call policy.Call) error {
		token = strings.TrimPrefix(headerOf(call, "Authorization"), "Bearer ")
		return nil
	})
	return token, err
}

// mustGet is get for calls that succeed.
func mustGet(t *testing.T, k *auth.Keyed, tenant string) string {
	t.Helper()
	token, err := get(t.Context(), k, tenant)
	if err != nil {
		t.Fatalf("a call of %s failed: %v", tenant, err)
	}
	return token
}

func TestKeyedConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		config := new(town).config()
		config.Key = func(context.Context, policy.Call) (string, error) { return "a", nil }
		config.MaxKeys, config.MaxFlights = 1, 1
		return auth.NewKeyed(config)
	})
	policytest.Run(t, func() policy.Policy { return auth.NewKeyed(new(town).config()).For("a") })
}

func TestKeyedValidate(t *testing.T) {
	tests := []struct {
		name   string
		keyed  *auth.Keyed
		want   []string
		usable bool
	}{
		{"good", auth.NewKeyed(new(town).config()), nil, true},
		{"nil", nil, []string{"auth: not usable"}, false},
		{"zero", &auth.Keyed{}, []string{"auth: not usable"}, false},
		{"nothing", auth.NewKeyed(auth.KeyedConfig{}), []string{"invalid Key nil", "invalid New nil"}, false},
		{"negative", auth.NewKeyed(auth.KeyedConfig{MaxKeys: -1, IdleFor: -2, MaxFlights: -3}), []string{
			"invalid Key nil", "invalid New nil", "invalid MaxKeys -1: want at least 1", "invalid IdleFor -2ns: want more than 0", "invalid MaxFlights -3: want at least 1",
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one := tt.keyed.For("a")
				if got, want := fmt.Sprint(one.Validate()), fmt.Sprint(tt.keyed.Validate()); got != want {
					t.Errorf("Validate() of what For returns is %q, want %q", got, want)
				}
				for i, line := range strings.Split(fmt.Sprint(tt.keyed.Validate()), "\n") {
					if len(tt.want) > 0 && (i >= len(tt.want) || !strings.Contains(line, tt.want[i])) || len(tt.want) == 0 && line != "<nil>" {
						t.Errorf("complaint %q, want those of %q", line, tt.want)
					}
				}
				ctx, errs := as(t.Context(), "a"), make(map[string]error)
				_, errs["Do"] = get(ctx, tt.keyed, "a")
				_, errs["Token"] = tt.keyed.Token(ctx)
				_, errs["For.Token"] = one.Token(ctx)
				errs["Use"] = tt.keyed.Use(ctx, use)
				errs["Close"] = tt.keyed.Close(ctx)
				for method, err := range errs {
					if (err == nil) != tt.usable {
						t.Errorf("%s() = %v, want an error: %v", method, err, !tt.usable)
					}
				}
				tt.keyed.Invalidate(&oauth2.Token{AccessToken: "a1"})
				one.Invalidate(&oauth2.Token{AccessToken: "a1"})
				_ = tt.keyed.Type()
				_ = one.Close(t.Context())
			})
		})
	}
}

// However calls, refusals, expiries, logins, and evictions interleave, no token
// of one tenant is sent for another.
func TestAuth41TokensStayWithTheirKey(t *testing.T) {
	world := &town{expiry: 1}
	config := world.config()
	config.MaxKeys, config.MaxFlights, config.IdleFor = 3, 2, time.Millisecond
	k := auth.NewKeyed(config)
	var wg sync.WaitGroup
	var calls, refusals atomic.Int64
	for range 16 {
		wg.Go(func() {
			for range 300 {
				tenant := string(rune('a' + rand.N(8)))
				check := func(token string) error {
					calls.Add(1)
					if !strings.HasPrefix(token, tenant) {
						t.Errorf("token %q was sent for %q", token, tenant)
					}
					if rand.N(4) == 0 {
						refusals.Add(1)
						return policy.ErrUnauthenticated
					}
					return nil
				}
				ctx, one := as(t.Context(), tenant), k.For(tenant)
				var err error
				switch rand.N(10) {
				case 4:
					err = k.Use(ctx, func(_ context.Context, token *oauth2.Token) error { return check(token.AccessToken) })
				case 5:
					var token *oauth2.Token
					if token, err = k.Token(ctx); err == nil && check(token.AccessToken) != nil {
						k.Invalidate(token)
					}
				case 0:
					err = one.Use(ctx, func(_ context.Context, token *oauth2.Token) error { return check(token.AccessToken) })
				case 1:
					var token *oauth2.Token
					if token, err = one.Token(ctx); err == nil && check(token.AccessToken) != nil {
						one.Invalidate(token)
					}
				case 2:
					err = one.SetToken(ctx, &oauth2.Token{AccessToken: tenant + "-set", ExpiresIn: 60})
				case 3:
					err = one.Close(ctx)
				default:
					err = k.Do(ctx, testCall, func(_ context.Context, call policy.Call) error {
						return check(strings.TrimPrefix(headerOf(call, "Authorization"), "Bearer "))
					})
				}
				// Close may have come in between, and that is all that may go wrong.
				if err != nil && !errors.Is(err, policy.ErrUnauthenticated) && !strings.Contains(err.Error(), "closed") {
					t.Errorf("a call of %s failed: %v", tenant, err)
				}
			}
		})
	}
	wg.Wait()
	if err := k.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if calls.Load() < 2000 || refusals.Load() < 300 || world.news < 100 || world.most > 2 {
		t.Errorf("%d calls, %d refusals, %d calls of New, %d requests at a time: want more of those, and at most 2", calls.Load(), refusals.Load(), world.news, world.most)
	}
}

// Many calls of many tenants at once, while the map is too small for them: each
// tenant has one policy, and one token request.
func TestAuth01OneRequestPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(time.Second)
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		config := world.config()
		config.MaxKeys = 1
		k := auth.NewKeyed(config)
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() { mustGet(t, k, string(rune('a'+i%10))) })
		}
		wg.Wait()
		for _, tenant := range "abcdefghij" {
			if got := world.count(string(tenant)); got != 1 {
				t.Errorf("%d token requests of %c, want 1", got, tenant)
			}
		}
		if world.news != 10 {
			t.Errorf("New was asked %d times, want 10", world.news)
		}
	})
}

func TestAuth02HungKeyHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{hangs: func(tenant string) bool { return tenant == "hung" }}
		config := world.config()
		config.MaxFlights = 2
		create := config.New
		config.New = func(ctx context.Context, tenant string) (auth.Config, error) {
			if tenant == "slow" {
				<-ctx.Done()
				return auth.Config{}, context.Cause(ctx)
			}
			return create(ctx, tenant)
		}
		k := auth.NewKeyed(config)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { _, _ = get(ctx, k, []string{"hung", "slow"}[i%2]) })
		}
		synctest.Wait()
		start := time.Now()
		for i := range 20 {
			mustGet(t, k, fmt.Sprint("tenant-", i))
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("20 calls of others took %v, want no time", took)
		}
		cancel()
		wg.Wait()
		if err := k.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A flight over the cap waits for its turn, and then has all of its time.
func TestAuth02Cap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(9 * time.Second)
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		config := world.config()
		config.MaxFlights = 2
		k := auth.NewKeyed(config)
		start := time.Now()
		var wg sync.WaitGroup
		var got [6]time.Duration
		var errs [6]error
		for i := range got {
			wg.Go(func() {
				_, errs[i] = get(t.Context(), k, string(rune('a'+i)))
				got[i] = time.Since(start)
			})
			synctest.Wait() // so that they come in order
		}
		wg.Wait()
		// The third pair would have its turn after 18 s, and leaves after 15.
		want := [6]time.Duration{9 * time.Second, 9 * time.Second, 18 * time.Second, 18 * time.Second, 15 * time.Second, 15 * time.Second}
		if got != want || world.most != 2 {
			t.Errorf("calls took %v with %d requests at a time, want %v with 2", got, world.most, want)
		}
		if err := errors.Join(errs[:4]...); err != nil {
			t.Errorf("calls that had their turn failed: %v", err)
		}
		for _, err := range errs[4:] {
			if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Throttled || !strings.Contains(err.Error(), "too many token requests") {
				t.Errorf("a call without a turn failed with %v of class %v, want that it was too crowded, and throttled", err, policy.ClassOf(err))
			}
		}
	})
}

// A source that hangs for ever holds its turn only for its time.
func TestAuth02TurnsEndThoughSourcesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{deaf: true, hangs: func(tenant string) bool { return strings.HasPrefix(tenant, "hung") }}
		config := world.config()
		config.MaxFlights = 2
		k := auth.NewKeyed(config)
		start := time.Now()
		var wg sync.WaitGroup
		for _, tenant := range []string{"hung-1", "hung-2"} {
			wg.Go(func() {
				if _, err := get(t.Context(), k, tenant); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 15*time.Second {
					t.Errorf("a call of %s ended after %v with %v, want a timeout after 15 s", tenant, time.Since(start), err)
				}
			})
		}
		wg.Wait()
		time.Sleep(15 * time.Second)
		mustGet(t, k, "a")
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("a call that followed ended after %v, want 30 s", took)
		}
		time.Sleep(time.Hour)
	})
}

// Replicas with a store wait for their turn before they take the lease, or
// others would have to wait for them.
func TestAuth02CapWithStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(9 * time.Second)
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		store := new(auth.MemoryStore)
		replica := func() *auth.Keyed {
			config := world.config()
			config.MaxFlights = 1
			config.New = func(_ context.Context, tenant string) (auth.Config, error) {
				return auth.Config{Source: world.source(tenant), Store: store}, nil
			}
			return auth.NewKeyed(config)
		}
		busy, idle := replica(), replica()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { mustGet(t, busy, "a") })
		synctest.Wait()
		wg.Go(func() { mustGet(t, busy, "b") }) // has no turn yet
		synctest.Wait()
		if got, took := mustGet(t, idle, "b"), time.Since(start); got != "b1" || took != 9*time.Second {
			t.Errorf("another replica got %q after %v, want b1 after 9 s", got, took)
		}
		wg.Wait()
		if a, b := world.count("a"), world.count("b"); a != 1 || b != 1 {
			t.Errorf("%d and %d token requests, want 1 each", a, b)
		}
	})
}

// What is dropped, and what is not: afterwards its token is asked for anew, or
// is still there.
func TestAuth41Eviction(t *testing.T) {
	rotating := func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n), RefreshToken: fmt.Sprint("RT", n+1)}, nil
	}
	tests := []struct {
		name    string
		answer  func(tenant string, n int, old *oauth2.Token) (*oauth2.Token, error)
		store   auth.Store
		source  func(*town) auth.Source // default: that of the town
		maxKeys int
		idleFor time.Duration
		do      func(t *testing.T, k *auth.Keyed)
		want    bool // whether a was dropped
	}{
		{name: "used least recently", maxKeys: 2, do: func(t *testing.T, k *auth.Keyed) {
			mustGet(t, k, "b")
			mustGet(t, k, "c")
		}, want: true},
		{name: "used in between", maxKeys: 2, do: func(t *testing.T, k *auth.Keyed) {
			mustGet(t, k, "b")
			mustGet(t, k, "a")
			mustGet(t, k, "c")
		}},
		{name: "no more than may be", maxKeys: 3, do: func(t *testing.T, k *auth.Keyed) {
			mustGet(t, k, "b")
			mustGet(t, k, "c")
		}},
		{name: "idle", idleFor: time.Minute, do: func(t *testing.T, k *auth.Keyed) {
			time.Sleep(time.Minute)
			mustGet(t, k, "b")
		}, want: true},
		{name: "not idle for long enough", idleFor: time.Minute, do: func(t *testing.T, k *auth.Keyed) {
			time.Sleep(time.Minute - 1)
			mustGet(t, k, "b")
		}},
		{name: "idle since the end of a long call", idleFor: time.Minute, do: func(t *testing.T, k *auth.Keyed) {
			_ = k.Do(as(t.Context(), "a"), testCall, func(context.Context, policy.Call) error {
				time.Sleep(time.Hour)
				return nil
			})
			time.Sleep(time.Second)
			mustGet(t, k, "b")
		}},
		{name: "a call is in it", maxKeys: 1, idleFor: time.Minute, do: func(t *testing.T, k *auth.Keyed) {
			_ = k.Do(as(t.Context(), "a"), testCall, func(context.Context, policy.Call) error {
				time.Sleep(time.Hour)
				mustGet(t, k, "b")
				mustGet(t, k, "c")
				return nil
			})
		}},
		{name: "keys that are not known", maxKeys: 2, do: func(t *testing.T, k *auth.Keyed) {
			for i := range 100 {
				_, _ = get(t.Context(), k, fmt.Sprint("unknown-", i))
			}
			mustGet(t, k, "b")
		}},
		{name: "has rotated", answer: rotating, maxKeys: 1, idleFor: time.Minute, do: func(t *testing.T, k *auth.Keyed) {
			time.Sleep(time.Hour)
			for _, tenant := range "bcdefghijkl" {
				mustGet(t, k, string(tenant))
			}
		}},
		{name: "a token was set", maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) {
			_ = k.For("a").SetToken(t.Context(), &oauth2.Token{AccessToken: "a1", RefreshToken: "RT"})
			mustGet(t, k, "b")
		}},
		{name: "has rotated, and is closed", answer: rotating, maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) {
			if err := k.For("a").Close(t.Context()); err != nil {
				t.Error(err)
			}
		}, want: true},
		{name: "has rotated, and is in a store", answer: rotating, store: new(auth.MemoryStore), maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) {
			mustGet(t, k, "b")
			token, err := k.For("a").Token(t.Context())
			if err != nil || token.AccessToken != "a1" {
				t.Errorf("Token() = %v, %v: want that in the store", token, err)
			}
			k.For("a").Invalidate(token) // so that another one is asked for
		}, want: true},
		{name: "has not rotated", source: func(w *town) auth.Source {
			return auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", RefreshToken: "RT1", HTTPClient: w.client(`"refresh_token":"RT1"`)}
		}, maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) { mustGet(t, k, "b") }, want: true},
		{name: "client credentials with a refresh token", source: func(w *town) auth.Source {
			return auth.ClientCredentials{TokenURL: tokenURL, ClientID: "client", HTTPClient: w.client(`"refresh_token":"RT2"`)}
		}, maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) { mustGet(t, k, "b") }, want: true},
		{name: "token source with a refresh token", source: func(w *town) auth.Source {
			return auth.FromTokenSource(tokenSource(func() (*oauth2.Token, error) {
				return &oauth2.Token{AccessToken: fmt.Sprint("a", w.begin("a")), RefreshToken: "RT"}, nil
			}))
		}, maxKeys: 1, do: func(t *testing.T, k *auth.Keyed) { mustGet(t, k, "b") }, want: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				world := &town{answer: tt.answer, expiry: 1 << 20}
				k := auth.NewKeyed(auth.KeyedConfig{
					Key: tenantOf, MaxKeys: tt.maxKeys, IdleFor: tt.idleFor,
					New: func(_ context.Context, tenant string) (auth.Config, error) {
						config := auth.Config{Source: world.source(tenant), Store: tt.store}
						switch {
						case strings.HasPrefix(tenant, "unknown"):
							return config, errors.New("no such tenant")
						case tt.source != nil && tenant == "a":
							config.Source = tt.source(world)
						}
						return config, nil
					},
				})
				mustGet(t, k, "a")
				tt.do(t, k)
				mustGet(t, k, "a")
				if got := world.count("a") > 1; got != tt.want {
					t.Errorf("dropped: %v, want %v (%d token requests)", got, tt.want, world.count("a"))
				}
			})
		})
	}
}

// client returns a client that is answered by tokens of a.
func (w *town) client(more string) *http.Client {
	return &http.Client{Transport: &server{answer: func(int, url.Values) (int, string) {
		return 200, fmt.Sprintf(`{"access_token":"a%d","token_type":"Bearer","expires_in":1048576,%s}`, w.begin("a"), more)
	}}}
}

type tokenSource func() (*oauth2.Token, error)

func (s tokenSource) Token() (*oauth2.Token, error) { return s() }

// What is under way when callers have left is not dropped, nor asked for twice.
func TestAuth41NotWhileInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(time.Second)
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		config := world.config()
		config.MaxKeys, config.IdleFor = 1, time.Millisecond
		k := auth.NewKeyed(config)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := get(ctx, k, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do() = %v, want %v", err, context.DeadlineExceeded)
		}
		_, _ = get(ctx, k, "b")
		if got := mustGet(t, k, "a"); got != "a1" {
			t.Errorf("got %q, want a1", got)
		}
	})
}

// A store that cannot be written to, for a while.
type readOnlyStore struct {
	auth.MemoryStore

	writes atomic.Int64
	broken atomic.Bool
}

func (s *readOnlyStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if s.writes.Add(1) > 1 && s.broken.Load() {
		return 0, errors.New("read only")
	}
	return s.MemoryStore.Swap(ctx, key, value, rev)
}

// A rotation that is not in the store yet is not dropped.
func TestAuth41NotWhileUnsaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spent := make(map[string]int)
		world := &town{answer: func(tenant string, n int, old *oauth2.Token) (*oauth2.Token, error) {
			if old != nil {
				spent[old.RefreshToken]++
			}
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n), RefreshToken: fmt.Sprint("RT", n)}, nil
		}}
		store := new(readOnlyStore)
		store.broken.Store(true)
		k := auth.NewKeyed(auth.KeyedConfig{
			Key: tenantOf, MaxKeys: 1, IdleFor: time.Millisecond,
			New: func(_ context.Context, tenant string) (auth.Config, error) {
				config := auth.Config{Source: world.source(tenant)}
				if tenant == "a" {
					config.Store = store
				}
				return config, nil
			},
		})
		drop := func() { // whatever may be dropped
			for range 3 {
				time.Sleep(time.Minute)
				mustGet(t, k, "b")
			}
		}
		mustGet(t, k, "a")
		drop()
		if got := mustGet(t, k, "a"); got != "a1" || world.count("a") != 1 {
			t.Errorf("got %q after %d token requests, want a1 after 1", got, world.count("a"))
		}
		store.broken.Store(false)
		time.Sleep(time.Minute)
		drop()
		token, err := k.For("a").Token(t.Context())
		if err != nil || token.AccessToken != "a1" || world.count("a") != 1 {
			t.Errorf("Token() = %v, %v after %d token requests: want that in the store", token, err, world.count("a"))
		}
		k.For("a").Invalidate(token)
		if got := mustGet(t, k, "a"); got != "a2" || spent["RT1"] != 1 {
			t.Errorf("got %q with RT1 spent %d times, want a2 with once", got, spent["RT1"])
		}
	})
}

// Without a key, or a configuration for it, nothing is sent.
func TestAuth41FailuresOfKeyAndNew(t *testing.T) {
	later := errors.New("the database is down")
	tests := []struct {
		name   string
		key    func(context.Context, policy.Call) (string, error)
		new    func(context.Context, string) (auth.Config, error)
		is     []error
		class  policy.Class
		reauth bool
	}{
		{name: "no key", is: []error{policy.ErrRejected}, class: policy.Rejected},
		{name: "empty key", key: func(context.Context, policy.Call) (string, error) { return "", nil }, is: []error{policy.ErrRejected}, class: policy.Rejected},
		{name: "key that fails", key: func(context.Context, policy.Call) (string, error) { return "a", later }, is: []error{later, policy.ErrRejected}, class: policy.Rejected},
		{
			name: "unknown key", key: always("a"),
			new: func(context.Context, string) (auth.Config, error) {
				return auth.Config{}, policy.WithClass(later, policy.Permanent)
			},
			is:    []error{later, policy.ErrRejected},
			class: policy.Rejected,
		},
		{
			name: "New that fails", key: always("a"),
			new:   func(context.Context, string) (auth.Config, error) { return auth.Config{}, later },
			is:    []error{later},
			class: policy.Throttled,
		},
		{
			name: "has not logged in", key: always("a"),
			new: func(context.Context, string) (auth.Config, error) {
				return auth.Config{}, fmt.Errorf("want a login: %w", auth.ErrReauthRequired)
			},
			is: []error{auth.ErrReauthRequired}, class: policy.Rejected, reauth: true,
		},
		{
			name: "invalid configuration", key: always("a"),
			new: func(context.Context, string) (auth.Config, error) { return auth.Config{}, nil },
			is:  []error{policy.ErrRejected}, class: policy.Rejected,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := new(town).config()
				if tt.key != nil {
					config.Key = tt.key
				}
				if tt.new != nil {
					config.New = tt.new
				}
				said := &transcript{}
				err := auth.NewKeyed(config).Do(t.Context(), testCall.WithRecorder(said), func(context.Context, policy.Call) error {
					t.Error("the call was sent")
					return nil
				})
				if _, ok := errors.AsType[*auth.AuthError](err); !ok || policy.ClassOf(err) != tt.class || !policy.NoEffect(err) {
					t.Errorf("Do() = %v of class %v, want an AuthError of class %v", err, policy.ClassOf(err), tt.class)
				}
				for _, want := range tt.is {
					if !errors.Is(err, want) {
						t.Errorf("Do() = %v, want one that matches %v", err, want)
					}
				}
				if got := errors.Is(err, auth.ErrReauthRequired); got != tt.reauth || got == errors.Is(err, auth.ErrTokenUnavailable) {
					t.Errorf("Do() = %v, want ErrReauthRequired: %v", err, tt.reauth)
				}
				if !strings.HasPrefix(said.String(), "auth.failed outcome=") {
					t.Errorf("said %q, want auth.failed", said.String())
				}
			})
		})
	}
}

func always(key string) func(context.Context, policy.Call) (string, error) {
	return func(context.Context, policy.Call) (string, error) { return key, nil }
}

// One call at a time asks New, for all; its failure is theirs, and nobody
// else's; and if it leaves, or panics, another one asks.
func TestAuth41NewIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := new(town)
		config := world.config()
		create := config.New
		asked := 0
		config.New = func(ctx context.Context, tenant string) (auth.Config, error) {
			asked++
			switch asked {
			case 1:
				<-ctx.Done()
				return auth.Config{}, context.Cause(ctx)
			case 2:
				panic("boom")
			}
			if err := policy.Sleep(ctx, time.Second); err != nil {
				return auth.Config{}, err
			}
			if asked == 3 {
				return auth.Config{}, errors.New("down")
			}
			return create(ctx, tenant)
		}
		k := auth.NewKeyed(config)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := get(ctx, k, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the call that leaves = %v, want %v", err, context.DeadlineExceeded)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("panic value %v, want boom", got)
				}
			}()
			_, _ = get(t.Context(), k, "a")
		})
		synctest.Wait()
		for range 50 {
			wg.Go(func() {
				if _, err := get(t.Context(), k, "a"); !errors.Is(err, auth.ErrTokenUnavailable) || time.Since(start(ctx)) != 2*time.Second {
					t.Errorf("a call that waited = %v, want ErrTokenUnavailable after 2 s", err)
				}
			})
		}
		wg.Wait()
		for range 50 {
			wg.Go(func() { mustGet(t, k, "a") })
		}
		wg.Wait()
		if asked != 4 {
			t.Errorf("New was asked %d times, want 4", asked)
		}
	})
}

// start returns when a context began that lasts a second.
func start(ctx context.Context) time.Time {
	end, _ := ctx.Deadline()
	return end.Add(-time.Second)
}

// New must not need the policy that it is to configure.
func TestAuth41NewThatAsksItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k *auth.Keyed
		k = auth.NewKeyed(auth.KeyedConfig{Key: tenantOf, New: func(ctx context.Context, key string) (auth.Config, error) {
			_, err := get(ctx, k, key)
			return auth.Config{}, err
		}})
		if _, err := get(t.Context(), k, "a"); !errors.Is(err, policy.ErrRejected) {
			t.Errorf("Do() = %v, want it refused", err)
		}
	})
}

// What For returns may be kept, whatever becomes of the policy behind it.
func TestKeyedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, old *oauth2.Token) (*oauth2.Token, error) {
			if old == nil || old.RefreshToken != "good" {
				return nil, auth.ErrReauthRequired
			}
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		config := world.config()
		config.Name, config.MaxKeys, config.IdleFor = "tenants", 1, time.Minute
		k := auth.NewKeyed(config)
		a := k.For("a")
		if a.Name() != "tenants" || a.Type() != "auth" {
			t.Errorf("name %q and type %q, want tenants and auth", a.Name(), a.Type())
		}
		a.Invalidate(&oauth2.Token{AccessToken: "x"})
		if err := a.Close(t.Context()); err != nil || world.news != 0 {
			t.Errorf("Close() = %v with New asked %d times, want nil with 0", err, world.news)
		}
		if _, err := get(t.Context(), k, "a"); !errors.Is(err, auth.ErrReauthRequired) {
			t.Errorf("Do() = %v, want ErrReauthRequired", err)
		}
		if err := a.SetToken(t.Context(), &oauth2.Token{RefreshToken: "good"}); err != nil {
			t.Error(err)
		}
		if got := mustGet(t, k, "a"); got != "a2" {
			t.Errorf("got %q after the login, want a2", got)
		}
		token, err := a.TokenSource(t.Context()).Token()
		if err != nil || token.AccessToken != "a2" {
			t.Errorf("Token() = %v, %v: want a2", token, err)
		}
		a.Invalidate(token)
		if got := mustGet(t, k, "a"); got != "a3" {
			t.Errorf("got %q after Invalidate, want a3", got)
		}
		for range 3 {
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if err := a.Use(t.Context(), use); !errors.Is(err, auth.ErrReauthRequired) {
				t.Errorf("Use() = %v, want ErrReauthRequired from a new policy", err)
			}
		}
		if err := a.SetToken(t.Context(), nil); err == nil {
			t.Error("SetToken(nil) = nil, want an error")
		}
	})
}

// Without a pipeline, the context tells whose token it is.
func TestKeyedByContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := auth.NewKeyed(new(town).config())
		for _, tenant := range []string{"a", "b"} {
			ctx := as(t.Context(), tenant)
			token, err := k.Token(ctx)
			if err != nil || token.AccessToken != tenant+"1" {
				t.Errorf("Token() = %v, %v: want %s1", token, err, tenant)
			}
		}
		k.Invalidate(&oauth2.Token{AccessToken: "a1"})
		for tenant, want := range map[string]string{"a": "a2", "b": "b1"} {
			err := k.Use(as(t.Context(), tenant), func(_ context.Context, token *oauth2.Token) error {
				if token.AccessToken != want {
					t.Errorf("got %q, want %q", token.AccessToken, want)
				}
				return nil
			})
			if err != nil {
				t.Errorf("Use() = %v, want nil", err)
			}
		}
		if _, err := k.Token(t.Context()); !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Errorf("Token() without a tenant = %v, want ErrTokenUnavailable", err)
		}
	})
}

// Close waits for the token requests of all keys.
func TestAuth13CloseWaitsForAllKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := &town{answer: func(tenant string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
			time.Sleep(time.Duration(tenant[0]-'a') * time.Second)
			return &oauth2.Token{AccessToken: fmt.Sprint(tenant, n)}, nil
		}}
		config := world.config()
		create := config.New
		config.New = func(ctx context.Context, key string) (auth.Config, error) {
			if key == "late" {
				time.Sleep(time.Second)
			}
			return create(ctx, key)
		}
		k := auth.NewKeyed(config)
		mustGet(t, k, "a")
		left, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, tenant := range []string{"b", "g", "c"} {
			wg.Go(func() { _, _ = get(left, k, tenant) })
		}
		wg.Go(func() {
			if _, err := get(t.Context(), k, "late"); !strings.Contains(fmt.Sprint(err), "closed") {
				t.Errorf("a call that came before Close = %v, want that the policy is closed", err)
			}
		})
		synctest.Wait()
		cancel()
		start := time.Now()
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if err := k.Close(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Close() = %v after %v, want %v after 1 s", err, time.Since(start), context.DeadlineExceeded)
		}
		if err := k.Close(t.Context()); err != nil || time.Since(start) != 6*time.Second {
			t.Errorf("Close() = %v after %v, want nil after 6 s", err, time.Since(start))
		}
		wg.Wait()
		for _, tenant := range []string{"a", "b", "g"} {
			if got := mustGet(t, k, tenant); got != tenant+"1" {
				t.Errorf("got %q after Close, want the token that there is", got)
			}
		}
		if _, err := get(t.Context(), k, "x"); !errors.Is(err, policy.ErrRejected) || world.count("x") > 0 {
			t.Errorf("Do() of a new key = %v after Close, want it refused", err)
		}
	})
}

// Keys appear nowhere, or as a digest if that is wanted.
func TestAuth41KeysAreHashed(t *testing.T) {
	for _, show := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			world := &town{answer: func(_ string, n int, _ *oauth2.Token) (*oauth2.Token, error) {
				time.Sleep(time.Second)
				switch n {
				case 1:
					return nil, errors.New("down")
				case 4:
					return nil, auth.ErrReauthRequired
				}
				return &oauth2.Token{AccessToken: fmt.Sprint("AT", n)}, nil
			}}
			config := world.config()
			create := config.New
			config.New = func(ctx context.Context, key string) (auth.Config, error) {
				c, err := create(ctx, key)
				if key == "CANARY-unknown" {
					err = errors.New("unknown")
				}
				c.Store = new(auth.MemoryStore) // whose Grant is the key
				return c, err
			}
			config.ShowDigest, config.MaxFlights = show, 1
			k := auth.NewKeyed(config)
			said := &transcript{}
			do := func(tenant string, operation policy.Handler) {
				ctx, cancel := context.WithTimeout(as(t.Context(), tenant), time.Minute)
				defer cancel()
				if err := k.Do(ctx, testCall.WithRecorder(said), operation); err != nil {
					isClean(t, "error", err)
				}
			}
			do("CANARY-unknown", succeed)
			do("CANARY-a", succeed) // down
			time.Sleep(time.Minute)
			for _, tenant := range []string{"CANARY-a", "CANARY-a", "CANARY-b"} { // one leads, one waits for it, one for its turn
				go do(tenant, succeed)
				synctest.Wait()
			}
			time.Sleep(time.Minute)
			do("CANARY-a", (&api{refuses: refuseAll}).do)
			do("CANARY-a", (&api{refuses: refuseAll}).do) // deferred
			do("CANARY-a", succeed)
			k.For("CANARY-a").Invalidate(&oauth2.Token{AccessToken: "AT3"})
			do("CANARY-a", succeed) // lost
			isClean(t, "what is recorded", said.String())
			isClean(t, "policy", k)
			isClean(t, "struct with a policy", struct{ K, k *auth.Keyed }{k, k})
			isClean(t, "policy of a key", k.For("CANARY"))
			isClean(t, "config", k.Validate())

			for line := range strings.SplitSeq(said.String(), "\n") {
				if got, want := strings.Contains(line, "key.digest="), show && !strings.HasPrefix(line, "end "); got != want {
					t.Errorf("shows a digest: %v, want %v: %s", got, want, line)
				}
			}
			for _, want := range []string{"begin token refresh: missing", "begin token wait", "begin turn wait", "auth.refresh_failed", "auth.refreshed", "auth.deferred", "auth.failed"} {
				if !strings.Contains(said.String(), want) {
					t.Errorf("said\n%s\nwant %q", said, want)
				}
			}
		})
	}
}
