package interop_test

import (
	"crypto"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v3"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

// eachBinding runs test against all servers that bind tokens to a key.
func eachBinding(t *testing.T, test func(t *testing.T, tr traits)) {
	t.Helper()
	each(t, func(t *testing.T, tr traits) {
		if !tr.bindsTokens {
			t.Skip("the server does not know DPoP")
		}
		test(t, tr)
	})
}

func TestAuth36DPoP(t *testing.T) {
	eachBinding(t, func(t *testing.T, tr traits) {
		key := newKey(t)
		w := newWorld(t, tr, config{public: true, boundTo: key})
		c := w.bound(t, key, w.login(t).RefreshToken)
		c.must(t)
		w.wantRequests(t, 2) // the first of them without a nonce
		c.wantAnswers(t, 200)

		for i := range 3 { // each with the refresh token of the one before
			w.revoke(t, c.token(t).AccessToken)
			c.must(t)
			w.wantRequests(t, 3+i)
			c.wantAnswers(t, 401, 200)
		}
	})
}

// A program that begins with a token from before does not know the nonce yet.
func TestAuth22Nonce(t *testing.T) {
	eachBinding(t, func(t *testing.T, tr traits) {
		key := newKey(t)
		w := newWorld(t, tr, config{public: true, boundTo: key})
		before := w.bound(t, key, w.login(t).RefreshToken)
		token := before.token(t)
		w.wantRequests(t, 2)

		c := w.bound(t, key, w.wire.last())
		c.set(t, token)
		c.must(t)
		c.wantAnswers(t, 401, 200) // with the same token
		c.must(t)
		c.wantAnswers(t, 200)
		w.wantRequests(t, 2)
	})
}

// Whoever steals tokens has no use for them, and does no harm by trying.
func TestAuth36StolenTokens(t *testing.T) {
	eachBinding(t, func(t *testing.T, tr traits) {
		key := newKey(t)
		w := newWorld(t, tr, config{public: true, boundTo: key})
		owner := w.bound(t, key, w.login(t).RefreshToken)
		owner.must(t)

		thief := w.bound(t, newKey(t), w.wire.last())
		thief.set(t, owner.token(t))
		_, err := thief.get(t.Context(), "")
		w.wantAuthError(t, err, auth.ErrReauthRequired, "invalid_grant")
		wantCodes(t, err, "invalid_token")
		thief.wantAnswers(t, 401, 401) // for want of a nonce, and for the key
		w.wantRequests(t, 3)

		w.revoke(t, owner.token(t).AccessToken)
		owner.must(t)
		w.wantRequests(t, 4)
	})
}

// The server takes each statement once, also if it wants the request with a nonce after all.
func TestAuth39PrivateKeyJWTWithDPoP(t *testing.T) {
	eachBinding(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{key: newKey(t), boundTo: newKey(t)})
		d := auth.NewDPoP(w.boundTo)
		source := w.clientCredentials()
		statement := auth.PrivateKeyJWT{ClientID: w.id, Audience: w.audience, Key: w.key, KeyID: keyID}
		source.ClientSecret, source.AuthStyle, source.Assertion, source.DPoP = "", 0, statement.Assertion, d
		p := auth.New(auth.Config{Source: source, DPoP: d})
		token, err := p.Token(t.Context())
		if err != nil || token.Type() != "DPoP" {
			t.Fatalf("Token() = %v, %v, want one of type DPoP", token, err)
		}
		w.wantRequests(t, 2)
	})
}

// A boundClient calls the server's own API, with tokens that are bound to a key.
type boundClient struct {
	*client

	answers *answers
}

// bound returns a client that begins with a refresh token, and knows no nonce.
func (w *world) bound(t *testing.T, key crypto.Signer, refreshToken string) *boundClient {
	t.Helper()
	d := auth.NewDPoP(key)
	source := w.refreshToken(refreshToken)
	source.DPoP = d
	p := auth.New(auth.Config{Source: source, DPoP: d})
	answers := &answers{base: newTransport(t)}
	transport := pipeline.Must(pipeline.New("t", p)).Transport(answers)
	return &boundClient{&client{w.userInfoURL, p, &http.Client{Transport: transport}}, answers}
}

// must calls the API, which must go well.
func (c *boundClient) must(t *testing.T) {
	t.Helper()
	if got, err := c.get(t.Context(), ""); err != nil || got != `{"sub":"user"}` {
		t.Fatalf("get() = %s, %v, want who the user is", got, err)
	}
}

// token returns the current access token, without the refresh token.
func (c *boundClient) token(t *testing.T) *oauth2.Token {
	t.Helper()
	token, err := c.policy.Token(t.Context())
	if err != nil || token.Type() != "DPoP" {
		t.Fatalf("Token() = %v, %v, want one of type DPoP", token, err)
	}
	return token
}

// set has c go on with an access token.
func (c *boundClient) set(t *testing.T, token *oauth2.Token) {
	t.Helper()
	if err := c.policy.SetToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
}

// wantAnswers checks what the API has answered since it was checked last.
func (c *boundClient) wantAnswers(t *testing.T, want ...int) {
	t.Helper()
	if got := c.answers.take(); !slices.Equal(got, want) {
		t.Errorf("the API has answered %v, want %v", got, want)
	}
}

// wantCodes checks which errors the API has answered with, by err, in challenges of DPoP.
func wantCodes(t *testing.T, err error, want ...string) {
	t.Helper()
	e, _ := errors.AsType[*auth.AuthError](err)
	var got []string
	for _, c := range e.Challenges {
		if c.Scheme == "DPoP" {
			got = append(got, c.Params["error"])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("error has the codes %q, want %q", got, want)
	}
}

// answers write down the statuses of what comes from an API.
type answers struct {
	base http.RoundTripper

	mu       sync.Mutex
	statuses []int
}

// RoundTrip implements [http.RoundTripper].
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.base.RoundTrip(r)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.statuses = append(a.statuses, response.StatusCode)
	}
	return response, err
}

// take returns the statuses since the last time.
func (a *answers) take() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	statuses := a.statuses
	a.statuses = nil
	return statuses
}

// thumbprint returns what servers call key by (RFC 7638).
func thumbprint(t *testing.T, key crypto.Signer) string {
	t.Helper()
	jwk := jose.JSONWebKey{Key: key.Public()}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}
