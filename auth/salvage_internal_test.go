package auth

import (
	"testing"
	"time"
)

func FuzzSalvage(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"AT","expires_in":3600.5,"refresh_token":"RT"}`,
		`{"access_token":7,"expires_in":"NaN","refresh_token":"RT"}`,
		`{"refresh_token":"RT","expires_in":1e400}`,
		`access_token=AT&expires_in=soon&refresh_token=RT`,
		`[]`, `null`, `{`, `%zz`, ``,
	} {
		f.Add(seed)
	}
	sent := time.Now()
	f.Fuzz(func(t *testing.T, body string) {
		token := (&recorder{body: []byte(body)}).salvage(sent)
		switch {
		case token == nil:
		case token.AccessToken == "" && token.RefreshToken == "":
			t.Errorf("salvage(%q) = %+v, want nil or a token of one kind", body, token)
		case !token.Expiry.IsZero() && (token.Expiry.Before(sent) || token.Expiry.After(sent.Add(maxLifetime*time.Second))):
			t.Errorf("salvage(%q) expires at %v, want from %v to %v later", body, token.Expiry, sent, maxLifetime*time.Second)
		}
	})
}
