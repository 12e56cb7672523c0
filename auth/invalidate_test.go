package auth_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth15Invalidate(t *testing.T) {
	tests := []struct {
		name  string
		token *oauth2.Token // of two that there have been, AT1 and AT2
		want  string        // the token then
	}{
		{"current", &oauth2.Token{AccessToken: "AT2"}, "AT3"},
		{"old", &oauth2.Token{AccessToken: "AT1"}, "AT2"},
		{"foreign", &oauth2.Token{AccessToken: "AT9"}, "AT2"},
		{"empty", &oauth2.Token{}, "AT2"},
		{"nil", nil, "AT2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				p := as.policy()
				first := tokenOf(t, p)
				time.Sleep(time.Hour)
				if got := first + " " + tokenOf(t, p); got != "AT1 AT2" {
					t.Fatalf("tokens %s, want AT1 and AT2", got)
				}
				p.Invalidate(tt.token)
				p.Invalidate(tt.token) // once is enough
				if got := as.count(); got != 2 {
					t.Errorf("%d token requests before another token is asked for, want 2", got)
				}
				if got := tokenOf(t, p); got != tt.want {
					t.Errorf("then the token is %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// tokenOf returns the access token that a policy has, and checks that it comes
// without the refresh token.
func tokenOf(t *testing.T, p *auth.Policy) string {
	t.Helper()
	token, err := p.Token(t.Context())
	if err != nil {
		t.Fatalf("Token() = %v, want nil", err)
	}
	if token.RefreshToken != "" || token.Extra("refresh_token") != nil {
		t.Error("the token comes with the refresh token")
	}
	return token.AccessToken
}

func TestAuth15InvalidateIsRefusedByPoliciesThatAreNotMade(t *testing.T) {
	for name, p := range map[string]*auth.Policy{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			p.Invalidate(&oauth2.Token{AccessToken: "AT"})
			if token, err := p.Token(t.Context()); err == nil {
				t.Errorf("Token() = %v, nil, want an error", token)
			}
			if token, err := p.TokenSource(t.Context()).Token(); err == nil {
				t.Errorf("TokenSource().Token() = %v, nil, want an error", token)
			}
			if err := p.Close(t.Context()); err == nil {
				t.Error("Close() = nil, want an error")
			}
		})
	}
}

func TestAuth15OneRefreshFor1000Invalidations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: time.Second}
		p := as.policy()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				token, err := p.Token(t.Context())
				if err != nil {
					t.Errorf("Token() = %v, want nil", err)
					return
				}
				time.Sleep(time.Duration(i) * 10 * time.Millisecond) // some learn late
				p.Invalidate(token)
				if token, err = p.Token(t.Context()); err != nil || token.AccessToken != "AT2" {
					t.Errorf("Token() = %v, %v, want AT2", token, err)
				}
			})
		}
		wg.Wait()
		if got := as.count(); got != 2 {
			t.Errorf("%d token requests, want 2: the first token, and one in its place", got)
		}
	})
}

// An invalidation during a token request does not cause another one.
func TestAuth15InvalidateDuringAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		p := as.policy()
		old, err := p.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		as.delay = time.Second
		time.Sleep(soft)
		_ = tokenOf(t, p) // the refresh begins
		p.Invalidate(old)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got := tokenOf(t, p); got != "AT2" {
					t.Errorf("the token is %s, want AT2", got)
				}
			})
		}
		wg.Wait()
		p.Invalidate(old) // too late
		if got := tokenOf(t, p); got != "AT2" || as.spent() != "RT1 RT2" {
			t.Errorf("the token is %s after token requests with %s, want AT2 after RT1 and RT2", got, as.spent())
		}
	})
}

// An API that refuses every token does not cause a token request for each, in
// whatever way they are sent.
func TestAuth16AlwaysInvalidated(t *testing.T) {
	ways := map[string]func(*testing.T, *auth.Policy) string{
		"Invalidate": func(t *testing.T, p *auth.Policy) string {
			token, err := p.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.Invalidate(token)
			return token.AccessToken
		},
		"Use": func(t *testing.T, p *auth.Policy) (last string) {
			err := p.Use(t.Context(), func(_ context.Context, token *oauth2.Token) error {
				last = token.AccessToken
				return policy.ErrUnauthenticated
			})
			if !errors.Is(err, policy.ErrUnauthenticated) {
				t.Errorf("Use() = %v, want the refusal", err)
			}
			return last
		},
		"both": func(t *testing.T, p *auth.Policy) string {
			_ = p.Do(t.Context(), testCall, (&api{refuses: refuseAll}).do)
			token, err := p.Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p.Invalidate(token)
			return token.AccessToken
		},
	}
	for name, refused := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				p := as.policy()
				last := ""
				for range 1000 {
					last = refused(t, p)
					time.Sleep(10 * time.Millisecond)
				}
				if got := as.count(); got != 2 || last != "AT2" {
					t.Errorf("%d token requests for 1000 calls in 10s, the last with %s: want 2, and AT2", got, last)
				}
				_ = refused(t, p) // after 10s it may be replaced again
				if got := tokenOf(t, p); got != "AT3" {
					t.Errorf("after 10s the token is %s, want AT3", got)
				}
			})
		})
	}
}

func TestAuth43TokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		p := as.policy()
		ts := p.TokenSource(t.Context())
		token, err := ts.Token()
		if err != nil || token.AccessToken != "AT1" || token.Type() != "Bearer" || !token.Valid() {
			t.Fatalf("Token() = %v, %v, want a valid AT1", token, err)
		}
		if token.RefreshToken != "" || token.Extra("refresh_token") != nil {
			t.Error("the token comes with the refresh token")
		}
		if got, want := time.Until(token.Expiry), time.Hour; got != want {
			t.Errorf("the token expires in %v, want %v", got, want)
		}
		time.Sleep(time.Hour)
		if token, err = ts.Token(); err != nil || token.AccessToken != "AT2" {
			t.Errorf("after it has expired Token() = %v, %v, want AT2", token, err)
		}
	})
}

// A source of one policy may be the policy of another.
func TestAuth43TokenSourceOfAPolicyIsASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, rs := (&server{}).policy(), &api{}
		p := auth.New(auth.Config{Source: auth.FromTokenSource(inner.TokenSource(t.Context()))})
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1" {
			t.Errorf("Do() = %v with tokens %q, want nil with AT1", err, rs.tokens())
		}
	})
}

func TestAuth43TokenSourceErrors(t *testing.T) {
	tests := []struct {
		name string
		as   *server
		want []error
		took time.Duration
	}{
		{"deadline", &server{delay: 10 * time.Second}, []error{auth.ErrTokenUnavailable, context.DeadlineExceeded}, time.Second},
		{"outage", &server{answer: func(int, url.Values) (int, string) { return 503, "CANARY" }}, []error{auth.ErrTokenUnavailable}, 0},
		{"lost grant", &server{current: 7}, []error{auth.ErrReauthRequired, policy.ErrRejected}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				token, err := tt.as.policy().TokenSource(ctx).Token()
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("Token() = %v, want %v", err, want)
					}
				}
				if _, ok := errors.AsType[*auth.AuthError](err); !ok || token != nil || strings.Contains(err.Error(), "CANARY") {
					t.Errorf("Token() = %v, %v, want an AuthError only", token, err)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				time.Sleep(time.Minute) // the flight goes on
			})
		})
	}
}
