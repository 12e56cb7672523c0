package auth_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// Users whose refresh tokens are in a store need none in the program: it begins
// with their login.
func TestAuth29BeginsWithALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{}, new(downStore)
		source := as.refreshToken()
		source.RefreshToken = ""
		replica := func() *auth.Keyed {
			return auth.NewKeyed(auth.KeyedConfig{
				MaxKeys: 1,
				Key:     func(_ context.Context, call policy.Call) (string, error) { return call.Name, nil },
				New: func(context.Context, string) (auth.Config, error) {
					return auth.Config{Source: source, Store: store}, nil
				},
			})
		}
		token := func(k *auth.Keyed) (string, error) {
			_, _ = k.For("another").Token(t.Context()) // which has this one dropped
			token, err := k.For("user").Token(t.Context())
			if err != nil {
				return "", err
			}
			return token.AccessToken, nil
		}
		a, b := replica(), replica()
		for _, k := range []*auth.Keyed{a, b, a} {
			if _, err := token(k); !errors.Is(err, auth.ErrReauthRequired) || as.count() != 0 {
				t.Errorf("Token() before the login = %v after %d token requests, want ErrReauthRequired after none", err, as.count())
			}
			time.Sleep(time.Minute)
		}
		if err := a.For("user").SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT1"}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"AT1", "AT1", "AT2", "AT2"} {
			if i == 2 {
				time.Sleep(time.Hour)
			}
			if got, err := token([]*auth.Keyed{a, b}[i%2]); got != want || err != nil {
				t.Errorf("Token() after the login = %q, %v: want %q", got, err, want)
			}
		}
		store.down.Store(true)
		if _, err := token(replica()); !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Errorf("Token() without the store = %v, want ErrTokenUnavailable", err)
		}
	})
}
