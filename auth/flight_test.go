package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

var testCall = policy.Call{Name: "orders.get", Key: apiKey}

func TestAuth01OneRequestForAColdCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: time.Second}, &api{}
		p := as.policy()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if got := as.count(); got != 1 {
			t.Errorf("%d token requests, want 1", got)
		}
		if got := rs.count("AT1"); got != 1000 {
			t.Errorf("%d calls with AT1, want 1000", got)
		}
	})
}

func TestAuth04LeaderLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 2 * time.Second}, &api{}
		p := as.policy()
		type key struct{}
		leader, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "trace"))

		var wg sync.WaitGroup
		wg.Go(func() {
			err := p.Do(leader, testCall, rs.do)
			if !errors.Is(err, context.Canceled) || policy.ClassOf(err) != policy.Canceled || policy.ErrorType(err) != "canceled" {
				t.Errorf("leader: Do() = %v of class %v and type %s, want it canceled", err, policy.ClassOf(err), policy.ErrorType(err))
			}
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Errorf("follower: Do() = %v, want nil", err)
				}
			})
		}
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		if got := as.count(); got != 1 {
			t.Errorf("%d token requests, want 1", got)
		}
		if got := as.requests[0].Context().Value(key{}); got != "trace" {
			t.Errorf("the token request has the context value %v, want it kept", got)
		}
	})
}

func TestAuth04FlightHasATimeoutOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: time.Hour}
		p := as.policy()
		start := time.Now()
		err := p.Do(t.Context(), testCall, (&api{}).do)
		if !errors.Is(err, auth.ErrTokenUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do() = %v, want ErrTokenUnavailable and a timeout", err)
		}
		if got := time.Since(start); got != 15*time.Second {
			t.Errorf("it took %v, want 15s", got)
		}
	})
}

// A source that does not heed its context keeps nobody waiting, but what it
// brings in the end is kept, and it is not called a second time meanwhile.
func TestAuth04SourceThatIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		p := auth.New(auth.Config{Timeout: time.Second, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			calls.Add(1)
			time.Sleep(time.Minute)
			return &oauth2.Token{AccessToken: "AT1"}, nil
		})})
		rs := &api{}
		start := time.Now()
		for range 10 {
			if err := p.Do(t.Context(), testCall, rs.do); !errors.Is(err, auth.ErrTokenUnavailable) {
				t.Errorf("Do() = %v, want ErrTokenUnavailable", err)
			}
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("10 calls took %v, want 1s", got)
		}
		time.Sleep(time.Minute)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || calls.Load() != 1 {
			t.Errorf("Do() = %v with %d calls of the source, want nil with 1", err, calls.Load())
		}
	})
}

func TestAuth05WaitersKeepTheirDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 2 * time.Second}, &api{}
		p := as.policy()
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			timeout := time.Duration(i+1) * 100 * time.Millisecond
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				err := p.Do(ctx, testCall, rs.do)
				if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, auth.ErrTokenUnavailable) {
					t.Errorf("Do() = %v, want ErrTokenUnavailable and a timeout", err)
				}
				if got := time.Since(start); got != timeout {
					t.Errorf("a waiter with a deadline of %v left after %v", timeout, got)
				}
			})
		}
		wg.Wait()

		// Nobody waits any more, and the token is kept all the same.
		time.Sleep(2 * time.Second)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.count() != 1 {
			t.Errorf("Do() = %v after %d token requests, want nil after 1", err, as.count())
		}
	})
}

func TestAuth05NoFlightForThoseWhoHaveLeft(t *testing.T) {
	as := &server{}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("shutting down")
	cancel(cause)
	err := as.policy().Do(ctx, testCall, (&api{}).do)
	if !errors.Is(err, cause) || policy.ClassOf(err) != policy.Canceled || as.count() != 0 {
		t.Errorf("Do() = %v after %d token requests, want %v after none", err, as.count(), cause)
	}
}

func TestAuth06OneFailureForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: time.Second, answer: func(int, url.Values) (int, string) { return 500, "" }}
		p := as.policy()
		start := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				err := p.Do(t.Context(), testCall, (&api{}).do)
				if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Throttled {
					t.Errorf("Do() = %v of class %v, want ErrTokenUnavailable of class throttled", err, policy.ClassOf(err))
				}
			})
		}
		wg.Wait()
		if as.count() != 1 || time.Since(start) != time.Second {
			t.Errorf("%d token requests in %v, want 1 in 1s", as.count(), time.Since(start))
		}
	})
}

func TestAuth07PanicAndGoexit(t *testing.T) {
	tests := map[string]func(){
		"panic":         func() { panic("CANARY") },
		"runtime error": func() { _ = make([]int, 1)[len(tokenURL)] },
		"Goexit":        runtime.Goexit,
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					if calls++; calls == 1 {
						time.Sleep(time.Second)
						end()
					}
					return &oauth2.Token{AccessToken: "AT2"}, nil
				})})
				var wg sync.WaitGroup
				for range 10 {
					wg.Go(func() {
						if err := p.Do(t.Context(), testCall, (&api{}).do); !errors.Is(err, auth.ErrTokenUnavailable) {
							t.Errorf("Do() = %v, want ErrTokenUnavailable", err)
						}
					})
				}
				wg.Wait()
				if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil || calls != 2 {
					t.Errorf("next: Do() = %v after %d calls of the source, want nil after 2", err, calls)
				}
			})
		})
	}
}

func TestAuth28RecursionIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var client http.Client
		for _, source := range []auth.Source{
			auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", ClientSecret: "secret", RefreshToken: "RT1", HTTPClient: &client},
			auth.ClientCredentials{TokenURL: tokenURL, ClientID: "client", HTTPClient: &client},
		} {
			p := auth.New(auth.Config{Source: source})
			client.Transport = pipeline.Must(pipeline.New("api", p)).Transport(&server{})
			response, err := client.Get(apiKey)
			if err == nil {
				_ = response.Body.Close()
			}
			if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected {
				t.Errorf("Get() = %v of class %v, want ErrTokenUnavailable of class rejected", err, policy.ClassOf(err))
			}
		}
	})
}

// Token requests may pass through policies of their own.
func TestAuth28TokenRequestsWithPolicies(t *testing.T) {
	refused := policy.WithClass(errors.New("open circuit"), policy.Rejected)
	tests := map[string]struct {
		inner     policy.Policy
		want      error
		wantAlso  error
		wantAfter time.Duration // until they are tried again
	}{
		"open circuit": {
			policy.New("breaker", func(context.Context, policy.Call, policy.Handler) error { return refused }),
			auth.ErrTokenUnavailable, policy.ErrRejected, time.Second,
		},
		"lost grant": {
			auth.New(auth.Config{Header: "X-Key", Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, auth.ErrReauthRequired })}),
			auth.ErrTokenUnavailable, auth.ErrReauthRequired, time.Minute,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				tries := 0
				count := policy.New("count", func(ctx context.Context, call policy.Call, next policy.Handler) error {
					tries++
					return next(ctx, call)
				})
				s := as.clientCredentials()
				s.HTTPClient = &http.Client{Transport: pipeline.Must(pipeline.New("login", count, tt.inner)).Transport(as)}
				p := auth.New(auth.Config{Source: s})
				for range 2 {
					err := p.Do(t.Context(), testCall, (&api{}).do)
					if !errors.Is(err, tt.want) || !errors.Is(err, tt.wantAlso) {
						t.Errorf("Do() = %v, want it to match %v and %v", err, tt.want, tt.wantAlso)
					}
				}
				time.Sleep(tt.wantAfter)
				_ = p.Do(t.Context(), testCall, (&api{}).do)
				if tries != 2 {
					t.Errorf("%d token requests, want 2", tries)
				}
			})
		})
	}
}
