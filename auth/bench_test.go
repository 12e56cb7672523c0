package auth_test

import (
	"context"
	"net/url"
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

func TestAuth8FreshPathAllocates(t *testing.T) {
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
