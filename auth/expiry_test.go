package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth09ShortLifetime(t *testing.T) {
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

func TestAuth09Skew(t *testing.T) {
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
			for after, want := range map[time.Duration]string{tt.want - time.Millisecond: "AT1", tt.want: "AT2"} {
				synctest.Test(t, func(t *testing.T) {
					as := &server{expiresIn: tt.expiresIn, delay: tt.roundTrip}
					if got := tokenAfter(t, as.policy(), after); got != want {
						t.Errorf("after %v the call got %s, want %s", after, got, want)
					}
				})
			}
		})
	}
}

// tokenAfter returns the token that a call gets for so long after the first one
// was asked for, if there is no call between.
func tokenAfter(t *testing.T, p *auth.Policy, after time.Duration) string {
	t.Helper()
	start := time.Now()
	if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(start.Add(after)))
	rs := &api{}
	if err := p.Do(t.Context(), testCall, rs.do); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return rs.tokens()
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

func TestAuth09SourcesOfUsers(t *testing.T) {
	tests := map[string]func() *oauth2.Token{
		"ExpiresIn": func() *oauth2.Token { return &oauth2.Token{ExpiresIn: 100} },
		"Expiry": func() *oauth2.Token {
			return &oauth2.Token{Expiry: time.Now().Add(100 * time.Second)}
		},
		"wall clock": func() *oauth2.Token {
			return &oauth2.Token{Expiry: time.Now().Round(0).Add(100 * time.Second)}
		},
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			for after, want := range map[time.Duration]string{90*time.Second - time.Millisecond: "AT1", 90 * time.Second: "AT2"} {
				synctest.Test(t, func(t *testing.T) {
					var asked atomic.Int32
					p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
						next := token()
						next.AccessToken = fmt.Sprint("AT", asked.Add(1))
						return next, nil
					})})
					if got := tokenAfter(t, p, after); got != want {
						t.Errorf("after %v the call got %s, want %s", after, got, want)
					}
				})
			}
		})
	}
}
