package interop_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	oautherrors "github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	oauthserver "github.com/go-oauth2/oauth2/v4/server"
	"github.com/go-oauth2/oauth2/v4/store"
	xoauth2 "golang.org/x/oauth2"
)

// goOAuth2 refreshes for anybody who has the refresh token, with whatever scope.
var goOAuth2 = traits{
	name:            "go-oauth2",
	start:           startGoOAuth2,
	lostGrantStatus: http.StatusUnauthorized,
	scope:           scopeObeyed,
	strange:         ":%+ /ü",
}

func startGoOAuth2(t *testing.T, c config) *server {
	manager := newManager(t, c)
	settings := oauthserver.NewConfig()
	settings.AllowedGrantTypes = []oauth2.GrantType{oauth2.ClientCredentials, oauth2.PasswordCredentials, oauth2.Refreshing}
	s := oauthserver.NewServer(settings, manager)
	if c.style == xoauth2.AuthStyleInParams {
		s.SetClientInfoHandler(oauthserver.ClientFormHandler)
	}
	s.SetPasswordAuthorizationHandler(func(_ context.Context, _, name, password string) (string, error) {
		if name != userName || password != userPassword {
			return "", oautherrors.ErrAccessDenied
		}
		return name, nil
	})

	endpoint := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.HandleTokenRequest(w, r) })
	tokens := &counter{Handler: endpoint}
	mux := http.NewServeMux()
	mux.Handle("POST /token", tokens)
	mux.Handle("POST /login", endpoint)
	url := serve(t, mux)
	return &server{
		config:   c,
		tokenURL: url + "/token",
		requests: tokens.count,
		login:    loginByPassword(c, url+"/login"),
		inspect: func(ctx context.Context, token string) (scopes string, active bool, err error) {
			info, err := manager.LoadAccessToken(ctx, token)
			switch {
			case errors.Is(err, oautherrors.ErrInvalidAccessToken), errors.Is(err, oautherrors.ErrExpiredAccessToken):
				return "", false, nil
			case err != nil:
				return "", false, err
			}
			return info.GetScope(), true, nil
		},
		revoke: func(t *testing.T, token string) {
			if err := manager.RemoveAccessToken(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		},
	}
}

func newManager(t *testing.T, c config) *manage.Manager {
	clients := store.NewClientStore()
	if err := clients.Set(c.id, &models.Client{ID: c.id, Secret: c.secret, Public: c.public}); err != nil {
		t.Fatal(err)
	}
	tokens, err := store.NewMemoryTokenStore()
	if err != nil {
		t.Fatal(err)
	}
	manager := manage.NewDefaultManager()
	manager.MapClientStorage(clients)
	manager.MapTokenStorage(tokens)
	manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: c.lifetime})
	manager.SetPasswordTokenCfg(&manage.Config{AccessTokenExp: c.lifetime, RefreshTokenExp: time.Hour, IsGenerateRefresh: true})
	return manager
}
