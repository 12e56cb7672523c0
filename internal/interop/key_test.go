package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/go-jose/go-jose/v3"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth39PrivateKeyJWT(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		if !tr.verifiesKeys {
			t.Skip("the server does not know private_key_jwt")
		}
		w := newWorld(t, tr, config{key: newKey(t)})
		for _, source := range w.sourcesWithKey(t, tr, w.key) {
			before := w.requests(t)
			c := w.client(t, source)
			c.must(t)
			w.revoke(t, w.api.last())
			c.must(t) // with another statement: the server takes each once
			w.wantRequests(t, before+2)
		}
	})
}

func TestAuth25WrongKey(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		if !tr.verifiesKeys {
			t.Skip("the server does not know private_key_jwt")
		}
		want := auth.ErrTokenUnavailable
		if tr.wrongKeyCode == "invalid_grant" {
			want = auth.ErrReauthRequired // nobody can know better
		}
		w := newWorld(t, tr, config{key: newKey(t)})
		for _, source := range w.sourcesWithKey(t, tr, newKey(t)) {
			before := w.requests(t)
			c := w.client(t, source)
			for range 50 {
				_, err := c.get(t.Context(), "/")
				w.wantAuthError(t, err, want, tr.wrongKeyCode)
			}
			w.wantRequests(t, before+1)
		}
	})
}

// sourcesWithKey returns sources of all the kinds for which the server knows private_key_jwt.
func (w *world) sourcesWithKey(t *testing.T, tr traits, key crypto.Signer) (sources []auth.Source) {
	t.Helper()
	statement := auth.PrivateKeyJWT{ClientID: w.id, Audience: w.audience, Key: key, KeyID: keyID}
	if w.login != nil {
		source := w.refreshToken(w.login(t).RefreshToken)
		source.ClientSecret, source.AuthStyle, source.Assertion = "", 0, statement.Assertion
		sources = append(sources, source)
	}
	if !tr.keyOnlyRefreshes {
		source := w.clientCredentials()
		source.ClientSecret, source.AuthStyle, source.Assertion = "", 0, statement.Assertion
		sources = append(sources, source)
	}
	return sources
}

const keyID = "key"

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keySet returns what the server is to know of key.
func keySet(key crypto.Signer) *jose.JSONWebKeySet {
	return &jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: keyID, Use: "sig", Algorithm: string(jose.ES256)}}}
}
