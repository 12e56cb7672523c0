package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A policy that is not used does nothing; a bubble fails a test that leaves a
// goroutine behind.
func TestAuth13NothingRunsWhenIdle(t *testing.T) {
	for name, config := range map[string]auth.Config{"default": {}, "warm, but never used": {KeepWarm: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				config.Source = as.refreshToken()
				p, calls := auth.New(config), 0
				if !config.KeepWarm {
					_ = p.Do(t.Context(), testCall, succeed)
					calls = 1
				}
				time.Sleep(1000 * time.Hour)
				if got := as.count(); got != calls {
					t.Errorf("%d token requests with %d calls", got, calls)
				}
			})
		})
	}
}

func TestAuth13KeepWarm(t *testing.T) {
	begin := map[string]func(*testing.T, *auth.Policy){
		"a call": func(t *testing.T, p *auth.Policy) { _ = p.Do(t.Context(), testCall, succeed) },
		"a call that left": func(t *testing.T, p *auth.Policy) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_ = p.Do(ctx, testCall, succeed)
		},
		"a token that was set": func(t *testing.T, p *auth.Policy) {
			_ = p.SetToken(t.Context(), &oauth2.Token{AccessToken: "AT0", Expiry: time.Now().Add(time.Hour)})
		},
	}
	for name, begin := range begin {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{delay: time.Second}, &api{}
				p := auth.New(auth.Config{Source: as.refreshToken(), KeepWarm: true})
				begin(t, p)
				time.Sleep(100 * time.Hour)
				start := time.Now()
				if err := p.Do(t.Context(), testCall, rs.do); err != nil || time.Since(start) != 0 {
					t.Errorf("Do() = %v after %v, want nil at once", err, time.Since(start))
				}
				// Each renewal is after 75 % to 85 % of an hour.
				renewed := as.count()
				if renewed < 116 || renewed > 135 {
					t.Errorf("%d token requests in 100 hours, want 117 to 134", renewed)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Hour)
				if got := as.count(); got != renewed {
					t.Errorf("%d token requests after Close, want none", got-renewed)
				}
			})
		})
	}
}

func TestAuth13KeepWarmAfterFailures(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		most   int // token requests in 10 hours of failures
		after  bool
	}{
		{"lost grant", 400, `{"error":"invalid_grant"}`, 1, false},
		{"unknown client", 401, `{"error":"invalid_client"}`, 10 * 60, true},
		{"outage", 503, "", 10 * 60 * 4, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var failing atomic.Bool
				as, rs := &server{}, &api{}
				as.answer = func(int, url.Values) (int, string) {
					if failing.Load() {
						return tt.status, tt.body
					}
					return 0, ""
				}
				p := auth.New(auth.Config{Source: as.refreshToken(), KeepWarm: true})
				_ = p.Do(t.Context(), testCall, succeed)
				failing.Store(true)
				time.Sleep(10 * time.Hour)
				if n := as.count() - 1; n < 1 || n > tt.most {
					t.Errorf("%d token requests while they fail, want 1 to %d", n, tt.most)
				}
				failing.Store(false)
				time.Sleep(time.Hour)
				failed := as.count()
				start := time.Now()
				err := p.Do(t.Context(), testCall, rs.do)
				if tt.after && (err != nil || as.count() != failed || time.Since(start) != 0) {
					t.Errorf("after the failures Do() = %v with %d token requests, want nil with none, as the token was kept warm", err, as.count()-failed)
				}
				if !tt.after && !errors.Is(err, auth.ErrReauthRequired) {
					t.Errorf("Do() = %v, want %v", err, auth.ErrReauthRequired)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// However often a token is renewed, the context does not grow.
func TestAuth13KeepWarmForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var longest, asked atomic.Int64
		p := auth.New(auth.Config{KeepWarm: true, Source: source(func(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
			asked.Add(1)
			longest.Store(max(longest.Load(), int64(len(fmt.Sprint(ctx)))))
			return &oauth2.Token{AccessToken: "AT", ExpiresIn: 60}, nil
		})})
		traced := pipeline.Must(pipeline.New("test", p)).WithTracerProvider(sdktrace.NewTracerProvider())
		_ = traced.Do(t.Context(), testCall, succeed)
		first := longest.Load()
		time.Sleep(10 * time.Hour)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if asked.Load() < 100 || longest.Load() > 2*first {
			t.Errorf("in %d renewals the context grew from %d bytes, printed, to %d", asked.Load(), first, longest.Load())
		}
	})
}

func TestAuth13CloseWaitsForAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 5 * time.Second}, &api{}
		p := as.policy()
		go func() { _ = p.Do(t.Context(), testCall, rs.do) }()
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("shutting down"))
		defer cancel()
		if err := p.Close(ctx); err == nil || !errors.Is(err, context.Cause(ctx)) || time.Since(start) != time.Second {
			t.Errorf("Close() = %v after %v, want an error that wraps %v after 1s", err, time.Since(start), context.Cause(ctx))
		}
		var wg sync.WaitGroup
		for range 2 { // at a time, and then again
			wg.Go(func() {
				if err := p.Close(t.Context()); err != nil || time.Since(start) != 5*time.Second {
					t.Errorf("Close() = %v after %v, want nil after 5s", err, time.Since(start))
				}
			})
		}
		wg.Wait()
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("next Close() = %v, want nil", err)
		}
		synctest.Wait() // the call that it was for is over, too
		// What the flight brought is there.
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1 AT1" {
			t.Errorf("after Close: Do() = %v with tokens %q, want nil with AT1", err, rs.tokens())
		}
	})
}

// A context that has ended is no obstacle if there is nothing to wait for.
func TestAuth13CloseOfAnIdlePolicy(t *testing.T) {
	for name, store := range map[string]auth.Store{"alone": nil, "with a store": new(auth.MemoryStore)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := auth.Config{Source: (&server{}).refreshToken(), Store: store, KeepWarm: true}
				if store != nil {
					config.Grant = "grant"
				}
				p := auth.New(config)
				if err := p.Do(t.Context(), testCall, succeed); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				for range 100 {
					if err := p.Close(ctx); err != nil {
						t.Fatalf("Close() = %v, want nil", err)
					}
				}
			})
		})
	}
}

func TestAuth13ClosedPolicyAsksForNothing(t *testing.T) {
	closed := func(err error) bool {
		_, ok := errors.AsType[*auth.AuthError](err)
		return ok && errors.Is(err, auth.ErrTokenUnavailable) && policy.ClassOf(err) == policy.Rejected
	}
	t.Run("without a token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			as := &server{}
			p := as.policy()
			if err := p.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := p.Do(t.Context(), testCall, succeed); !closed(err) {
				t.Errorf("Do() = %v, want ErrTokenUnavailable of class rejected", err)
			}
			if _, err := p.Token(t.Context()); !closed(err) {
				t.Errorf("Token() = %v, want ErrTokenUnavailable of class rejected", err)
			}
			if as.count() != 0 {
				t.Errorf("%d token requests, want none", as.count())
			}
		})
	})
	for name, tt := range map[string]struct {
		after time.Duration
		rs    *api
		want  bool
	}{
		"with a fresh token":       {0, &api{}, true},
		"with one to be renewed":   {soft, &api{}, true},
		"with one that expired":    {time.Hour, &api{}, false},
		"with one that is refused": {0, &api{refuses: refuse("AT1")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				p := as.policy()
				_ = p.Do(t.Context(), testCall, succeed)
				if err := p.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(tt.after)
				err := p.Do(t.Context(), testCall, tt.rs.do)
				if tt.want && err != nil || !tt.want && !closed(err) {
					t.Errorf("Do() = %v, want success: %v", err, tt.want)
				}
				synctest.Wait()
				if as.count() != 1 {
					t.Errorf("%d token requests after Close, want none", as.count()-1)
				}
			})
		})
	}
}
