package auth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth42Use(t *testing.T) {
	wrapped := fmt.Errorf("listing orders: %w", policy.ErrUnauthenticated)
	tests := []struct {
		name    string
		refused func(string) bool
		refusal error
		want    string // tokens
	}{
		{"accepted", refuse(), nil, "AT1"},
		{"refused", refuse("AT1"), policy.ErrUnauthenticated, "AT1 AT2"},
		{"refused, wrapped", refuse("AT1"), wrapped, "AT1 AT2"},
		{"refused, of a class", refuse("AT1"), policy.WithClass(errors.New("code = Unauthenticated"), policy.Unauthenticated), "AT1 AT2"},
		{"refused twice", refuseAll, wrapped, "AT1 AT2"},
		{"not replayable", refuse("AT1"), &finalError{}, "AT1"},
		{"other error", refuse("AT1"), errors.New("other"), "AT1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := ""
				var last error
				err := (&server{}).policy().Use(t.Context(), func(_ context.Context, token *oauth2.Token) error {
					if token.RefreshToken != "" {
						t.Error("the token comes with the refresh token")
					}
					if got != "" {
						got += " "
					}
					got += token.AccessToken
					last = nil
					if tt.refused(token.AccessToken) {
						last = tt.refusal
					}
					return last
				})
				if err != last || got != tt.want {
					t.Errorf("Use() = %v with tokens %q, want %v with %q", err, got, last, tt.want)
				}
			})
		})
	}
}

func TestAuth42OneRefreshFor1000Rejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: time.Second}
		p := as.policy()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				err := p.Use(t.Context(), func(_ context.Context, token *oauth2.Token) error {
					time.Sleep(time.Second)
					if token.AccessToken == "AT1" {
						return policy.ErrUnauthenticated
					}
					return nil
				})
				if err != nil {
					t.Errorf("Use() = %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if got := as.count(); got != 2 {
			t.Errorf("%d token requests, want 2", got)
		}
	})
}

func TestAuth42WithoutAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		as.setCurrent(9)
		called := false
		err := as.policy().Use(t.Context(), func(context.Context, *oauth2.Token) error { called = true; return nil })
		if !errors.Is(err, auth.ErrReauthRequired) || called {
			t.Errorf("Use() = %v, called %v: want ErrReauthRequired and no call", err, called)
		}
	})
}

// A panic or Goexit of the operation passes, and costs nothing.
func TestAuth42OperationPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := (&server{}).policy()
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("panic value %v, want boom", got)
				}
			}()
			_ = p.Use(t.Context(), func(context.Context, *oauth2.Token) error { panic("boom") })
		}()
		if err := p.Use(t.Context(), func(context.Context, *oauth2.Token) error { return nil }); err != nil {
			t.Errorf("Use() = %v, want nil", err)
		}
	})
}
