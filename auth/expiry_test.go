package auth_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth9ShortLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{expiresIn: "8"}
		p := as.policy()
		for range 20 {
			if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
				t.Fatal(err)
			}
		}
		if got := as.count(); got != 1 {
			t.Errorf("%d token requests for 20 calls, want 1", got)
		}
	})
}

func TestAuth9Skew(t *testing.T) {
	tests := []struct {
		expiresIn string
		roundTrip time.Duration
		want      time.Duration // after which a token is not used any more, since before the request
	}{
		{"3600", 0, 3590 * time.Second},
		{`"3600"`, 0, 3590 * time.Second}, // some servers send a string
		{"3600", 2 * time.Second, 3590 * time.Second},
		{"3600", 14 * time.Second, 3600*time.Second - 15100*time.Millisecond},
		{"8", 0, 6 * time.Second},
		{"20", time.Second, 15 * time.Second},
		{"99999999999", 0, math.MaxInt32*time.Second - 10*time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.expiresIn+" "+tt.roundTrip.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{expiresIn: tt.expiresIn, delay: tt.roundTrip}
				p := as.policy()
				start := time.Now()
				do := func() {
					if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
						t.Fatal(err)
					}
				}
				do()
				time.Sleep(time.Until(start.Add(tt.want - time.Millisecond)))
				do()
				if got := as.count(); got != 1 {
					t.Fatalf("%d token requests before %v, want 1", got, tt.want)
				}
				time.Sleep(time.Millisecond)
				do()
				if got := as.count(); got != 2 {
					t.Errorf("%d token requests after %v, want 2", got, tt.want)
				}
			})
		})
	}
}

func TestAuth12NoExpiry(t *testing.T) {
	for _, expiresIn := range []string{"null"} {
		t.Run(expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{expiresIn: expiresIn}, &api{}
				p := as.policy()
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Fatal(err)
				}
				time.Sleep(1000 * time.Hour)
				if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.count() != 1 {
					t.Fatalf("Do() = %v after %d token requests, want nil after 1", err, as.count())
				}
				rs.refuses = refuse("AT1")
				if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.count() != 2 {
					t.Fatalf("Do() = %v after %d token requests, want nil after 2", err, as.count())
				}
			})
		})
	}
}

func TestAuth12SenselessExpiry(t *testing.T) {
	for _, expiresIn := range []string{"0", "-1", "-8589934592", "1e400", "99999999999999999999", `"NaN"`, `"soon"`, `{}`, "true"} {
		t.Run(expiresIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{expiresIn: expiresIn}, &api{}
				p := as.policy()
				for range 100 {
					if err := p.Do(t.Context(), testCall, rs.do); !errors.Is(err, auth.ErrTokenUnavailable) {
						t.Fatalf("Do() = %v, want ErrTokenUnavailable", err)
					}
				}
				if as.count() != 1 || rs.tokens() != "" {
					t.Errorf("%d token requests and calls with tokens %q, want 1 and none", as.count(), rs.tokens())
				}
			})
		})
	}
}

// A token that is of no use may come with a refresh token that is.
func TestAuth30RefreshTokenOfABadAnswerIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{expiresIn: "0"}
		p := as.policy()
		err := p.Do(t.Context(), testCall, (&api{}).do)
		d, _ := policy.RetryAfter(err)
		time.Sleep(d)
		as.expiresIn = "3600"
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Errorf("Do() = %v, want nil, by way of RT2", err)
		}
	})
}

func TestAuth9SourcesOfUsers(t *testing.T) {
	tests := map[string]func() *oauth2.Token{
		"ExpiresIn": func() *oauth2.Token { return &oauth2.Token{AccessToken: "AT", ExpiresIn: 100} },
		"Expiry": func() *oauth2.Token {
			return &oauth2.Token{AccessToken: "AT", Expiry: time.Now().Add(100 * time.Second)}
		},
		"wall clock": func() *oauth2.Token {
			return &oauth2.Token{AccessToken: "AT", Expiry: time.Now().Round(0).Add(100 * time.Second)}
		},
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					asked++
					return token(), nil
				})})
				do := func() {
					if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
						t.Fatal(err)
					}
				}
				do()
				time.Sleep(90*time.Second - time.Millisecond)
				do()
				if asked != 1 {
					t.Fatalf("the source was asked %d times before 90s, want once", asked)
				}
				time.Sleep(time.Millisecond)
				do()
				if asked != 2 {
					t.Errorf("the source was asked %d times after 90s, want twice", asked)
				}
			})
		})
	}
}
