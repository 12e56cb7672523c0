package auth_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth33StepUpThatNeedsALoginDoesNotLoseTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{expiresIn: "60"}, new(auth.MemoryStore)
		p := auth.New(auth.Config{
			Source: as.refreshToken(), Store: store, Grant: "grant",
			StepUp: func(context.Context, *oauth2.Token, []auth.Challenge) (*oauth2.Token, error) {
				return nil, auth.ErrReauthRequired
			},
		})
		err := p.Do(t.Context(), testCall, (&api{refuses: refuseAll, refusal: &refusal{[]string{`Bearer error="insufficient_user_authentication"`}}}).do)
		if !errors.Is(err, auth.ErrReauthRequired) {
			t.Fatalf("Do() = %v, want %v", err, auth.ErrReauthRequired)
		}
		time.Sleep(time.Minute)
		if err := as.replica(store).Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Errorf("Do() = %v of another replica, want nil", err)
		}
	})
}

func TestAuth33LostGrantOfAnotherPolicyIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{}, new(auth.MemoryStore)
		s := as.refreshToken()
		s.ClientSecret = ""
		lost := true
		signer := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			if lost {
				return nil, auth.ErrReauthRequired
			}
			return &oauth2.Token{AccessToken: "SIGN"}, nil
		})})
		s.Assertion = func(ctx context.Context) (string, error) {
			token, err := signer.Token(ctx)
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		}
		p := auth.New(auth.Config{Source: s, Store: store, Grant: "grant"})
		if err := p.Do(t.Context(), testCall, (&api{}).do); !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Errorf("Do() = %v, want %v", err, auth.ErrTokenUnavailable)
		}
		lost = false
		_ = signer.SetToken(t.Context(), &oauth2.Token{AccessToken: "SIGN"})
		time.Sleep(2 * time.Minute)
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Errorf("Do() = %v once the other grant is there again, want nil", err)
		}
	})
}

func TestAuth25SetTokenEndsALossThatWasNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locked := true
		as, store := &server{}, new(auth.MemoryStore)
		as.answer = func(int, url.Values) (int, string) {
			if locked {
				return http.StatusBadRequest, `{"error":"invalid_grant"}`
			}
			return 0, ""
		}
		p := as.replica(store)
		if err := p.Do(t.Context(), testCall, (&api{}).do); !errors.Is(err, auth.ErrReauthRequired) {
			t.Fatalf("Do() = %v, want %v", err, auth.ErrReauthRequired)
		}
		locked = false // the server's mistake, or an account that was locked
		if err := p.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT1"}); err != nil {
			t.Fatal(err)
		}
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
	})
}
