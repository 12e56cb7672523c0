package auth_test

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// newFresh returns a policy whose tokens last for ever.
func newFresh(config auth.Config) *auth.Policy {
	config.Source = source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "AT", ExpiresIn: 1 << 30}, nil
	})
	return auth.New(config)
}

func succeed(context.Context, policy.Call) error { return nil }

func use(context.Context, *oauth2.Token) error { return nil }

// freshPaths are the ways to use a token that is there.
var freshPaths = []struct {
	name   string
	allocs float64 // at most
	use    func(ctx context.Context, p *auth.Policy) error
}{
	{"Token", 0, func(ctx context.Context, p *auth.Policy) error { _, err := p.Token(ctx); return err }},
	{"Use", 0, func(ctx context.Context, p *auth.Policy) error { return p.Use(ctx, use) }},
	{"Do", 2, func(ctx context.Context, p *auth.Policy) error { return p.Do(ctx, testCall, succeed) }}, // the header, and the call that carries it
}

func TestAuth08FreshPathAllocates(t *testing.T) {
	configs := map[string]auth.Config{
		"default":    {},
		"everything": {MaxAge: time.Hour, JWTExpiry: true, KeepWarm: true, Origins: []string{apiKey}, StepUp: (&stepper{}).stepUp},
	}
	for name, config := range configs {
		for _, path := range freshPaths {
			t.Run(path.name+" "+name, func(t *testing.T) {
				p, ctx := newFresh(config), t.Context()
				if got := testing.AllocsPerRun(100, func() { _ = path.use(ctx, p) }); got > path.allocs {
					t.Errorf("it allocates %v times, want at most %v", got, path.allocs)
				}
				if err := p.Close(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// Nobody who has a token waits for whoever gets the next one, nor for each other: a
// call that holds on to its token keeps no lock.
func TestAuth08FreshPathHoldsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		as := &server{}
		p := as.policy()
		_ = p.Do(t.Context(), testCall, succeed)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_ = p.Do(t.Context(), testCall, func(context.Context, policy.Call) error { <-hung; return nil })
			})
		}
		synctest.Wait()
		for _, path := range freshPaths {
			if err := path.use(t.Context(), p); err != nil {
				t.Errorf("%s = %v, want nil", path.name, err)
			}
		}
		p.Invalidate(&oauth2.Token{AccessToken: "AT1"})
		if got := tokenOf(t, p); got != "AT2" {
			t.Errorf("the token is %s, want AT2", got)
		}
		close(hung)
		wg.Wait()
	})
}

// With 64 goroutines an operation is to take no longer than with one, and less if
// there are processors for them.
func BenchmarkFresh(b *testing.B) {
	for _, path := range freshPaths {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", path.name, goroutines), func(b *testing.B) {
				p := newFresh(auth.Config{})
				if err := path.use(b.Context(), p); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				if goroutines == 1 {
					for b.Loop() {
						if err := path.use(b.Context(), p); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					ctx := b.Context()
					for pb.Next() {
						if err := path.use(ctx, p); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

func newKeyedFresh() *auth.Keyed {
	return auth.NewKeyed(auth.KeyedConfig{
		Key: func(_ context.Context, call policy.Call) (string, error) { return call.Name, nil },
		New: func(context.Context, string) (auth.Config, error) {
			return auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				return &oauth2.Token{AccessToken: "AT", ExpiresIn: 1 << 30}, nil
			})}, nil
		},
	})
}

func TestAuth41KnownKeyAllocates(t *testing.T) {
	k, ctx := newKeyedFresh(), t.Context()
	_ = k.Do(ctx, testCall, succeed)
	if got := testing.AllocsPerRun(100, func() { _ = k.Do(ctx, testCall, succeed) }); got > 2 {
		t.Errorf("Do allocates %v times, want at most 2, as without keys", got)
	}
	one := k.For(testCall.Name)
	if got := testing.AllocsPerRun(100, func() { _ = one.Use(ctx, use) }); got != 0 {
		t.Errorf("Use allocates %v times, want 0", got)
	}
}

// Calls of 1 goroutine, and of 64, on behalf of one tenant and of a thousand.
func BenchmarkKeyed(b *testing.B) {
	for _, tenants := range []int{1, 1000} {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("tenants=%d/goroutines=%d", tenants, goroutines), func(b *testing.B) {
				k := newKeyedFresh()
				calls := make([]policy.Call, tenants)
				for i := range calls {
					calls[i] = policy.Call{Name: fmt.Sprint("tenant-", i), Key: apiKey}
					if err := k.Do(b.Context(), calls[i], succeed); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for g := range goroutines {
					wg.Go(func() {
						for i := range b.N / goroutines {
							if err := k.Do(b.Context(), calls[(g*31+i)%tenants], succeed); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

func BenchmarkAfter401(b *testing.B) {
	as := &server{answer: func(n int, _ url.Values) (int, string) {
		return 200, `{"access_token":"AT` + string(rune('A'+n%2)) + `"}`
	}}
	p := auth.New(auth.Config{Source: as.clientCredentials()})
	b.ReportAllocs()
	for b.Loop() {
		_ = p.SetToken(b.Context(), &oauth2.Token{AccessToken: "old"})
		if err := p.Do(b.Context(), testCall, (&api{refuses: refuse("old")}).do); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseChallenges(b *testing.B) {
	header := []string{`Bearer realm="orders", error="invalid_token", error_description="expired"`, `Basic realm="x"`}
	b.ReportAllocs()
	for b.Loop() {
		if len(auth.ParseChallenges(header)) != 2 {
			b.Fatal("want 2 challenges")
		}
	}
}
