package auth_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func newFresh() *auth.Policy {
	return auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "AT", ExpiresIn: 1 << 30}, nil
	})})
}

func succeed(context.Context, policy.Call) error { return nil }

func use(context.Context, *oauth2.Token) error { return nil }

func TestAuth08FreshPathAllocates(t *testing.T) {
	p, ctx := newFresh(), t.Context()
	_ = p.Do(ctx, testCall, succeed)
	if got := testing.AllocsPerRun(100, func() { _ = p.Use(ctx, use) }); got != 0 {
		t.Errorf("Use allocates %v times, want 0", got)
	}
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, testCall, succeed) }); got > 2 {
		t.Errorf("Do allocates %v times, want at most 2: the header, and the call that carries it", got)
	}
}

func BenchmarkFresh(b *testing.B) {
	p := newFresh()
	if err := p.Do(b.Context(), testCall, succeed); err != nil {
		b.Fatal(err)
	}
	b.Run("Use", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Use(b.Context(), use); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Do", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(b.Context(), testCall, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Do in parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := p.Do(b.Context(), testCall, succeed); err != nil {
					b.Error(err)
				}
			}
		})
	})
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
