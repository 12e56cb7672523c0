package benchmarks_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// A holder keeps the token of a source, and returns it as long as it lasts.
type holder func(source oauth2.TokenSource) func(ctx context.Context) (*oauth2.Token, error)

// holders are from cheap to dear.
var holders = []struct {
	name   string
	create holder
}{
	{"atomic-pointer", newPointer},
	{ours, newAuth},
	{"oauth2", newReuse},
}

// newPointer is the least that it takes.
func newPointer(source oauth2.TokenSource) func(context.Context) (*oauth2.Token, error) {
	var current atomic.Pointer[oauth2.Token]
	var mu sync.Mutex // held while there is no token
	valid := func() *oauth2.Token {
		if token := current.Load(); token != nil && time.Now().Before(token.Expiry) {
			return token
		}
		return nil
	}
	return func(context.Context) (*oauth2.Token, error) {
		if token := valid(); token != nil {
			return token, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if token := valid(); token != nil {
			return token, nil
		}
		token, err := source.Token()
		if err != nil {
			return nil, err
		}
		current.Store(token)
		return token, nil
	}
}

func newAuth(source oauth2.TokenSource) func(context.Context) (*oauth2.Token, error) {
	return auth.New(auth.Config{Source: auth.FromTokenSource(source)}).Token
}

func newReuse(source oauth2.TokenSource) func(context.Context) (*oauth2.Token, error) {
	reuse := oauth2.ReuseTokenSource(nil, source)
	return func(context.Context) (*oauth2.Token, error) { return reuse.Token() }
}

// hourly issues tokens that last for an hour: token1, token2, and so on.
type hourly struct{ issued atomic.Int64 }

func (h *hourly) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: fmt.Sprint("token", h.issued.Add(1)), Expiry: time.Now().Add(time.Hour)}, nil
}

// BenchmarkToken has a token asked for that lasts, by 1 goroutine and by 64. It is W8 of the report.
func BenchmarkToken(b *testing.B) {
	for _, h := range holders {
		token := h.create(&hourly{})
		b.Run(h.name+"/goroutines=1", func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := token(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint(h.name, "/goroutines=", goroutines), func(b *testing.B) {
			ctx := b.Context()
			inParallel(b, func() error {
				_, err := token(ctx)
				return err
			})
		})
	}
}

func TestHoldersDoTheSameWork(t *testing.T) {
	for _, h := range holders {
		t.Run(h.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &hourly{}
				token := h.create(source)
				for _, want := range []string{"token1", "token1", "token2"} {
					if want == "token2" {
						time.Sleep(2 * time.Hour)
					}
					if got, err := token(t.Context()); err != nil || got.AccessToken != want {
						t.Errorf("got %v, %v, want %s", got, err, want)
					}
				}
				if n := source.issued.Load(); n != 2 {
					t.Errorf("%d tokens were issued, want 2", n)
				}
			})
		})
	}
}
