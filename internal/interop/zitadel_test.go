package interop_test

import (
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

var zitadel = traits{
	name:             "zitadel",
	start:            startZitadel,
	lostGrantStatus:  http.StatusBadRequest,
	revokesFamily:    true,
	checksSecret:     true,
	decodesBasic:     true,
	verifiesKeys:     true,
	wrongKeyCode:     "invalid_grant", // as if the refresh token were wrong
	keyOnlyRefreshes: true,
	revokedStatus:    http.StatusForbidden, // without a challenge
	strange:          ":%+ /ü",
	exact:            true,
}

func startZitadel(t *testing.T, c config) *server {
	settings := idp.Config{AccessTokenLifetime: c.lifetime, ClientID: c.id, ClientSecret: c.secret, Public: c.public}
	if c.key != nil {
		settings.ClientKey = c.key.Public()
	}
	provider, err := idp.Start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	return &server{
		config:      c,
		tokenURL:    provider.TokenURL,
		userInfoURL: provider.Issuer + "/userinfo",
		audience:    provider.Issuer,
		requests:    func(*testing.T) int { return provider.TokenRequests() },
		login: func(t *testing.T) *oauth2.Token {
			token, err := provider.Grant(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return token
		},
		inspect: newIntrospector(t, provider.Issuer+"/oauth/introspect", provider.ClientID, provider.ClientSecret).inspect,
		revoke:  func(*testing.T, string) { provider.RevokeAccessTokens() },
	}
}
