package interop_test

import (
	"context"
	"net/http"
	"testing"

	"golang.org/x/oauth2"
)

const userName, userPassword = "user", "password"

// loginByPassword returns a function that logs the user in by the grant of RFC 6749, section
// 4.3, which needs no browser.
func loginByPassword(c config, url string) func(*testing.T) *oauth2.Token {
	return func(t *testing.T) *oauth2.Token {
		t.Helper()
		config := oauth2.Config{
			ClientID: c.id, ClientSecret: c.secret,
			Endpoint: oauth2.Endpoint{TokenURL: url, AuthStyle: c.style},
			Scopes:   []string{loginScopes},
		}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: newTransport(t)})
		token, err := config.PasswordCredentialsToken(ctx, userName, userPassword)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

// refresh spends a refresh token past all policies.
func (s *server) refresh(t *testing.T, refreshToken string) (*oauth2.Token, error) {
	t.Helper()
	config := oauth2.Config{
		ClientID: s.id, ClientSecret: s.secret,
		Endpoint: oauth2.Endpoint{TokenURL: s.tokenURL, AuthStyle: s.style},
	}
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: newTransport(t)})
	return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
}
