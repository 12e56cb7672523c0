package interop_test

import (
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth25WrongSecret(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		refreshToken := w.login(t).RefreshToken
		byRefreshToken, byClientCredentials := w.refreshToken(refreshToken), w.clientCredentials()
		byRefreshToken.ClientSecret, byClientCredentials.ClientSecret = "wrong", "wrong"
		sources := []auth.Source{byClientCredentials}
		if tr.checksSecret {
			sources = append(sources, byRefreshToken)
		}
		for i, source := range sources {
			c := w.client(t, source)
			for range 50 {
				_, err := c.get(t.Context(), "/")
				w.wantAuthError(t, err, auth.ErrTokenUnavailable, "invalid_client")
				if got := policy.ClassOf(err); got != policy.Rejected {
					t.Fatalf("error is of class %v, want %v", got, policy.Rejected)
				}
			}
			w.wantRequests(t, i+1)
		}
		w.client(t, w.refreshToken(refreshToken)).must(t) // which has survived
	})
}

func TestAuth39ClientAuthentication(t *testing.T) {
	styles := map[string]oauth2.AuthStyle{"client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleInParams}
	each(t, func(t *testing.T, tr traits) {
		for name, style := range styles {
			t.Run(name, func(t *testing.T) {
				c := config{style: style, id: "client" + tr.strange, secret: "secret" + tr.strange}
				if style == oauth2.AuthStyleInHeader && !tr.decodesBasic {
					c.id, c.secret = "client", "secret"
				}
				w := newWorld(t, tr, c)
				w.client(t, w.clientCredentials()).must(t)
				w.loggedIn(t).must(t)
				w.wantRequests(t, 2)
			})
		}
	})
}

func TestAuth39PublicClient(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{public: true})
		c := w.loggedIn(t)
		c.must(t)
		w.revoke(t, w.api.last())
		c.must(t)
		w.wantRequests(t, 2)
	})
}

func TestNarrowerScope(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		source := w.refreshToken(w.login(t).RefreshToken)
		source.Scopes = []string{"openid"}
		want := "openid"
		if tr.scope == scopeIgnored {
			want = loginScopes
		}
		if got, err := w.client(t, source).get(t.Context(), "/"); err != nil || got != want {
			t.Errorf("get() = %q, %v, want a token for %q", got, err, want)
		}
	})
}

func TestAuth25WiderScope(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		source := w.refreshToken(w.login(t).RefreshToken)
		source.Scopes = []string{"openid", "admin"}
		c := w.client(t, source)
		if tr.scope != scopeChecked {
			want := map[scopeRule]string{scopeIgnored: loginScopes, scopeObeyed: "openid admin"}[tr.scope]
			if got, err := c.get(t.Context(), "/"); err != nil || got != want {
				t.Errorf("get() = %q, %v, want a token for %q", got, err, want)
			}
			return
		}
		for range 50 {
			_, err := c.get(t.Context(), "/")
			w.wantAuthError(t, err, auth.ErrTokenUnavailable, "invalid_scope")
		}
		w.wantRequests(t, 1)
		w.client(t, w.refreshToken(source.RefreshToken)).must(t) // which has survived
	})
}
