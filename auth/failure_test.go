package auth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth24BackoffOfTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{answer: func(int, url.Values) (int, string) { return 500, "" }}
		p := as.policy()
		start := time.Now()
		var gaps []time.Duration
		last := start
		for time.Since(start) < 10*time.Minute {
			seen := as.count()
			err := p.Do(t.Context(), testCall, (&api{}).do)
			if as.count() > seen {
				gaps = append(gaps, time.Since(last))
				last = time.Now()
			}
			d, ok := policy.RetryAfter(err)
			if !ok || d > 30*time.Second {
				t.Fatalf("Do() = %v with RetryAfter %v (%v), want at most 30s", err, d, ok)
			}
			time.Sleep(50 * time.Millisecond)
		}
		gaps = gaps[1:]
		if gaps[0] < 500*time.Millisecond || gaps[0] > 1050*time.Millisecond {
			t.Errorf("first pause %v, want 0.5s to 1s", gaps[0])
		}
		for _, gap := range gaps[6:] {
			if gap < 15*time.Second || gap > 30050*time.Millisecond {
				t.Errorf("later pause %v, want 15s to 30s", gap)
			}
		}
	})
}

func TestAuth24RetryAfter(t *testing.T) {
	tests := []struct {
		header string
		want   time.Duration
	}{
		{"7", 7 * time.Second},
		{"Sat, 01 Jan 2000 00:00:09 GMT", 9 * time.Second}, // time in a bubble begins in 2000
		{"9223372037", 5 * time.Minute},
		{"99999999999999999999", 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := (&server{}).clientCredentials()
				s.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					answer := response(r, 429, "")
					answer.Header.Set("Retry-After", tt.header)
					return answer, nil
				})}
				err := auth.New(auth.Config{Source: s}).Do(t.Context(), testCall, (&api{}).do)
				if got, ok := policy.RetryAfter(err); got != tt.want || !ok {
					t.Errorf("RetryAfter() = %v, %v, want %v", got, ok, tt.want)
				}
			})
		})
	}
}

// After a lost grant the server is left alone until there is a new one.
func TestAuth25LostGrant(t *testing.T) {
	answers := map[string]struct {
		status int
		body   string
	}{
		"400":           {400, `{"error":"invalid_grant"}`},
		"401":           {401, `{"error":"invalid_grant"}`},
		"200":           {200, `{"error":"invalid_grant"}`},
		"unprocessable": {422, `{"error":"invalid_grant"}`},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lost := true
				as := &server{answer: func(int, url.Values) (int, string) {
					if lost {
						return answer.status, answer.body
					}
					return 0, ""
				}}
				p := as.policy()
				for range 10 {
					err := p.Do(t.Context(), testCall, (&api{}).do)
					if !errors.Is(err, auth.ErrReauthRequired) || errors.Is(err, auth.ErrTokenUnavailable) {
						t.Fatalf("Do() = %v, want ErrReauthRequired", err)
					}
					if policy.ClassOf(err) != policy.Rejected || !errors.Is(err, policy.ErrRejected) {
						t.Fatalf("Do() = %v of class %v, want class rejected and ErrRejected", err, policy.ClassOf(err))
					}
					time.Sleep(time.Hour)
				}
				if got := as.count(); got != 1 {
					t.Errorf("%d token requests, want 1", got)
				}

				lost = false
				as.setCurrent(7)
				if err := p.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT7"}); err != nil {
					t.Fatal(err)
				}
				if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
					t.Errorf("after SetToken: Do() = %v, want nil", err)
				}
			})
		})
	}
}

func TestAuth25ConfigErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		code   string
	}{
		{"invalid_client", 401, `{"error":"invalid_client"}`, "invalid_client"},
		{"invalid_scope", 400, `{"error":"invalid_scope"}`, "invalid_scope"},
		{"unauthorized_client", 400, `{"error":"unauthorized_client"}`, "unauthorized_client"},
		{"unsupported_grant_type", 400, `{"error":"unsupported_grant_type"}`, "unsupported_grant_type"},
		{"invalid_request", 400, `{"error":"invalid_request"}`, "invalid_request"},
		{"unknown code", 400, `{"error":"CANARY"}`, "other"},
		{"no code", 404, `not here`, ""},
		{"error in a 200", 200, `{"error":"invalid_client"}`, "invalid_client"},
		{"redirect", 307, ``, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(int, url.Values) (int, string) { return tt.status, tt.body }}
				p := as.policy()
				start := time.Now()
				for time.Since(start) < 5*time.Minute {
					err := p.Do(t.Context(), testCall, (&api{}).do)
					e, ok := errors.AsType[*auth.AuthError](err)
					if !ok || !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected || e.ErrorCode != tt.code {
						t.Fatalf("Do() = %#v of class %v, want ErrTokenUnavailable of class rejected with code %q", err, policy.ClassOf(err), tt.code)
					}
					time.Sleep(time.Second)
				}
				if got := as.count(); got != 5 {
					t.Errorf("%d token requests in 5 minutes, want one a minute", got)
				}
			})
		})
	}
}

func TestAuth25TransientAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
	}{
		{"500", 500, `{"error":"oops"}`},
		{"503", 503, ``},
		{"408", 408, ``},
		{"429", 429, `{"error":"slow_down"}`},
		{"malformed 200", 200, `{"access_token":`},
		{"HTML", 200, `<html>`},
		{"no token", 200, `{}`},
		{"temporarily_unavailable", 400, `{"error":"temporarily_unavailable"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					if n == 1 {
						return tt.status, tt.body
					}
					return 0, ""
				}}
				p := as.policy()
				err := p.Do(t.Context(), testCall, (&api{}).do)
				if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Throttled {
					t.Errorf("Do() = %v of class %v, want ErrTokenUnavailable of class throttled", err, policy.ClassOf(err))
				}
				d, _ := policy.RetryAfter(err)
				time.Sleep(d)
				if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
					t.Errorf("after %v: Do() = %v, want nil", d, err)
				}
			})
		})
	}
}

func TestAuth26ClientCredentialsNeedNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{answer: func(n int, _ url.Values) (int, string) {
			if n == 2 {
				return 400, `{"error":"invalid_grant"}`
			}
			return 0, ""
		}}
		p := auth.New(auth.Config{Source: as.clientCredentials()})
		rs := &api{refuses: refuse("AT1")}
		err := p.Do(t.Context(), testCall, rs.do)
		if errors.Is(err, auth.ErrReauthRequired) || !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Errorf("Do() = %v, want ErrTokenUnavailable", err)
		}
		time.Sleep(time.Minute)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1 AT3" {
			t.Errorf("a minute later: Do() = %v with tokens %q, want nil with AT3", err, rs.tokens())
		}
	})
}

func TestAuth25SourcesOfUsers(t *testing.T) {
	cause := errors.New("vault is sealed")
	tests := []struct {
		err       error
		want      error
		wantClass policy.Class
		wantAfter time.Duration // until the source is asked again; 0 for never
	}{
		{cause, auth.ErrTokenUnavailable, policy.Throttled, time.Second},
		{policy.WithClass(cause, policy.Permanent), auth.ErrTokenUnavailable, policy.Rejected, time.Minute},
		{policy.WithClass(cause, policy.Unauthenticated), auth.ErrTokenUnavailable, policy.Rejected, time.Minute},
		{errors.Join(auth.ErrReauthRequired, cause), auth.ErrReauthRequired, policy.Rejected, 0},
		{policy.WithClass(errors.Join(context.Canceled, cause), policy.Canceled), auth.ErrTokenUnavailable, policy.Throttled, time.Second},
		{io.ErrUnexpectedEOF, auth.ErrTokenUnavailable, policy.Throttled, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					asked++
					return nil, tt.err
				})})
				err := p.Do(t.Context(), testCall, (&api{}).do)
				if !errors.Is(err, tt.want) || !errors.Is(err, tt.err) || policy.ClassOf(err) != tt.wantClass {
					t.Errorf("Do() = %v of class %v, want %v of class %v", err, policy.ClassOf(err), tt.want, tt.wantClass)
				}
				_ = p.Do(t.Context(), testCall, (&api{}).do)
				want := 2
				if tt.wantAfter == 0 {
					want, tt.wantAfter = 1, 24*time.Hour
				}
				time.Sleep(tt.wantAfter)
				_ = p.Do(t.Context(), testCall, (&api{}).do)
				if asked != want {
					t.Errorf("the source was asked %d times, want %d", asked, want)
				}
			})
		})
	}
}

func TestSetToken(t *testing.T) {
	t.Run("access token from before", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			as, rs := &server{}, &api{refuses: refuse("AT0")}
			p := as.policy()
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "AT0", Expiry: time.Now().Round(0).Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT0 AT1" {
				t.Errorf("Do() = %v with tokens %q, want nil with AT0 and then AT1", err, rs.tokens())
			}
		})
	})
	t.Run("during a flight", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			as, rs := &server{delay: time.Second}, &api{}
			p := as.policy()
			done := make(chan error)
			start := time.Now()
			go func() { done <- p.Do(t.Context(), testCall, rs.do) }()
			synctest.Wait()
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "NEW", RefreshToken: "RT7"}); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil || rs.tokens() != "NEW" || time.Since(start) != 0 {
				t.Errorf("Do() = %v with tokens %q after %v, want nil with NEW at once", err, rs.tokens(), time.Since(start))
			}
			time.Sleep(time.Minute) // the flight lands, too late
			rs.refuses = refuse("NEW")
			as.setCurrent(7)
			if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.form(2).Get("refresh_token") != "RT7" {
				t.Errorf("Do() = %v after a request with %v, want nil after RT7", err, as.form(2))
			}
		})
	})
	t.Run("keeps the refresh token", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			as, rs := &server{}, &api{}
			p := as.policy()
			_ = p.Do(t.Context(), testCall, rs.do) // RT2 now
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "NEW"}); err != nil {
				t.Fatal(err)
			}
			rs.refuses = refuse("NEW")
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		})
	})
	t.Run("invalid", func(t *testing.T) {
		p := (&server{}).policy()
		for _, token := range []*oauth2.Token{
			nil,
			{},
			{AccessToken: "CANARY\r\nX: y"},
			{AccessToken: "CANARY", TokenType: "mac"},
			{AccessToken: "CANARY", Expiry: time.Now().Add(-time.Second)},
		} {
			if err := p.SetToken(t.Context(), token); err == nil {
				t.Errorf("SetToken(%v) = nil, want an error", token)
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
