package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// soft is an age at which tokens of an hour are to be renewed, and are still good.
const soft = 3100 * time.Second

func TestAuth11CurrentTokenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 10 * time.Second}, &api{}
		p := as.policy()
		_ = p.Do(t.Context(), testCall, succeed)
		time.Sleep(soft)
		start := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 0 || rs.count("AT1") != 100 {
			t.Errorf("calls got %s after %v, want AT1 at once", rs.tokens(), took)
		}
		time.Sleep(time.Minute)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.count("AT2") != 1 || as.spent() != "RT1 RT2" {
			t.Errorf("Do() = %v after token requests with %s, want nil with AT2 after RT1 and RT2", err, as.spent())
		}
	})
}

// Whatever becomes of a refresh, a token is used as long as it is good. How often
// it is tried again says the kind of failure.
func TestAuth11FailuresNeverDisplaceAGoodToken(t *testing.T) {
	const left = 3590*time.Second - soft
	tests := []struct {
		name        string
		fail        func() (int, string)
		least, most int // token requests until the token has expired
		want        error
		wantCode    string
	}{
		// Pauses are 0.5 s to 1 s at first, and 15 s to 30 s from the sixth on.
		{"outage", func() (int, string) { return 503, "" }, int(left / (30 * time.Second)), 5 + int(left/(15*time.Second)) + 1, auth.ErrTokenUnavailable, ""},
		{"malformed answer", func() (int, string) { return 200, "?" }, int(left / (30 * time.Second)), 5 + int(left/(15*time.Second)) + 1, auth.ErrTokenUnavailable, ""},
		{"expired token", func() (int, string) { return 200, `{"access_token":"AT","expires_in":0}` }, int(left / (30 * time.Second)), 5 + int(left/(15*time.Second)) + 1, auth.ErrTokenUnavailable, ""},
		{"unknown client", func() (int, string) { return 401, `{"error":"invalid_client"}` }, int(left / time.Minute), int(left/time.Minute) + 1, auth.ErrTokenUnavailable, "invalid_client"},
		{"lost grant", func() (int, string) { return 400, `{"error":"invalid_grant"}` }, 1, 1, auth.ErrReauthRequired, "invalid_grant"},
		{"panic", func() (int, string) { panic("CANARY") }, 1, 1, auth.ErrTokenUnavailable, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failing := false
				as, rs := &server{}, &api{}
				as.answer = func(int, url.Values) (int, string) {
					if failing {
						return tt.fail()
					}
					return 0, ""
				}
				p := as.policy()
				start := time.Now()
				_ = p.Do(t.Context(), testCall, succeed)
				failing = true
				time.Sleep(soft)
				for time.Since(start) < 3590*time.Second {
					if err := p.Do(t.Context(), testCall, rs.do); err != nil {
						t.Fatalf("Do() = %v after %v, want nil as long as there is a good token", err, time.Since(start))
					}
					time.Sleep(100 * time.Millisecond)
				}
				if n := as.count() - 1; n < tt.least || n > tt.most {
					t.Errorf("%d token requests while the token was good, want %d to %d", n, tt.least, tt.most)
				}
				err := p.Do(t.Context(), testCall, rs.do)
				e, ok := errors.AsType[*auth.AuthError](err)
				if !ok || !errors.Is(err, tt.want) || e.ErrorCode != tt.wantCode {
					t.Errorf("after the token has expired Do() = %v, want %v with the code %q", err, tt.want, tt.wantCode)
				}
				if rs.count("AT1") != len(rs.calls) {
					t.Errorf("calls got %s, want AT1 only", rs.tokens())
				}
			})
		})
	}
}

// A caller that cannot do with the current token waits for the refresh that is
// under way, and for no other.
func TestAuth11OneRefreshForAll(t *testing.T) {
	for name, do := range map[string]func(*testing.T, *auth.Policy, *api) error{
		"refused": func(t *testing.T, p *auth.Policy, rs *api) error {
			return p.Do(t.Context(), testCall, rs.do)
		},
		"expired": func(t *testing.T, p *auth.Policy, rs *api) error {
			time.Sleep(8 * time.Second)
			return p.Do(t.Context(), testCall, rs.do)
		},
		"invalidated": func(t *testing.T, p *auth.Policy, rs *api) error {
			p.Invalidate(&oauth2.Token{AccessToken: "AT1"})
			return p.Do(t.Context(), testCall, rs.do)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{}, &api{refuses: refuse("AT1")}
				p := as.policy()
				start := time.Now()
				_ = p.Do(t.Context(), testCall, succeed)
				as.delay = 10 * time.Second
				time.Sleep(3585 * time.Second)
				_ = p.Do(t.Context(), testCall, succeed) // the refresh begins
				if err := do(t, p, rs); err != nil || as.spent() != "RT1 RT2" || time.Since(start) != 3595*time.Second {
					t.Errorf("Do() = %v after %v and token requests with %s, want nil as soon as RT2 is there", err, time.Since(start), as.spent())
				}
			})
		})
	}
}

// A refusal is answered by the refresh that is under way even when another one
// would have to wait.
func TestAuth11RefreshUnderWayIsForThoseWhoAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			if asked++; asked == 3 {
				time.Sleep(5 * time.Second)
			}
			token := &oauth2.Token{AccessToken: fmt.Sprint("AT", asked), ExpiresIn: 40}
			return token.WithExtra(map[string]any{"refresh_in": 1.0}), nil
		})})
		_ = p.Do(t.Context(), testCall, (&api{refuses: refuseAll}).do) // AT2 must not be replaced for 10s
		time.Sleep(6 * time.Second)
		_ = tokenOf(t, p) // the refresh begins
		rs := &api{refuses: refuse("AT2")}
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT2 AT3" || asked != 3 {
			t.Errorf("Do() = %v with tokens %q after %d token requests, want nil with AT2 and AT3 after 3", err, rs.tokens(), asked)
		}
	})
}

// A refresh that nobody waits for outlives the call that began it.
func TestAuth11RefreshOutlivesItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: time.Second}, &api{}
		p := as.policy()
		_ = p.Do(t.Context(), testCall, succeed)
		time.Sleep(soft)
		ctx, cancel := context.WithCancel(t.Context())
		if err := p.Do(ctx, testCall, rs.do); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		cancel()
		time.Sleep(time.Minute)
		if _ = p.Do(t.Context(), testCall, rs.do); rs.tokens() != "AT1 AT2" || as.count() != 2 {
			t.Errorf("calls got %s after %d token requests, want AT1 and AT2 after 2", rs.tokens(), as.count())
		}
	})
}
