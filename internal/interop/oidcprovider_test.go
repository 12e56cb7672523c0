package interop_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

var oidcProvider = traits{
	name:            "oidc-provider",
	start:           startOIDCProvider,
	lostGrantStatus: http.StatusBadRequest,
	revokesFamily:   true,
	checksSecret:    true,
	decodesBasic:    true,
	revokedStatus:   http.StatusUnauthorized,
	verifiesKeys:    true,
	bindsTokens:     true,
	wrongKeyCode:    "invalid_client",
	strange:         ":%+ /", // and nothing that is not ASCII (RFC 6749, appendix A)
}

// An oidcProviderProcess is a running testdata/oidc-provider/server.mjs.
type oidcProviderProcess struct {
	url  string
	http *http.Client
}

func startOIDCProvider(t *testing.T, c config) *server {
	t.Helper()
	p := &oidcProviderProcess{http: &http.Client{Transport: newTransport(t)}}
	argument := map[string]any{
		"lifetime": c.lifetime / time.Second,
		"client":   clientMetadata(c),
	}
	if c.public && c.boundTo != nil {
		argument["jkt"] = thumbprint(t, c.boundTo)
	}
	p.url = runOIDCProvider(t, argument)
	return &server{
		config:      c,
		tokenURL:    p.url + "/token",
		userInfoURL: p.url + "/me",
		audience:    p.url,
		requests: func(t *testing.T) int {
			var answer struct{ Requests int }
			p.ask(t, http.MethodGet, "/requests", &answer)
			return answer.Requests
		},
		login: func(t *testing.T) *oauth2.Token {
			token := new(oauth2.Token)
			p.ask(t, http.MethodPost, "/login", token)
			return token
		},
		inspect: newIntrospector(t, p.url+"/token/introspection", "api", "secret-of-the-api").inspect,
		revoke: func(t *testing.T, token string) {
			p.ask(t, http.MethodPost, "/revoke?token="+url.QueryEscape(token), new(struct{}))
		},
	}
}

// clientMetadata returns a client as RFC 7591, section 2, and RFC 9449, section 5.2, have it.
func clientMetadata(c config) map[string]any {
	metadata := map[string]any{"client_id": c.id, "dpop_bound_access_tokens": c.boundTo != nil}
	switch {
	case c.public:
		metadata["token_endpoint_auth_method"] = "none"
		metadata["grant_types"] = []string{"authorization_code", "refresh_token"}
	case c.key != nil:
		metadata["token_endpoint_auth_method"] = "private_key_jwt"
		metadata["jwks"] = keySet(c.key)
	case c.style == oauth2.AuthStyleInParams:
		metadata["token_endpoint_auth_method"] = "client_secret_post"
		metadata["client_secret"] = c.secret
	default:
		metadata["token_endpoint_auth_method"] = "client_secret_basic"
		metadata["client_secret"] = c.secret
	}
	return metadata
}

// ask asks what only tests may.
func (p *oidcProviderProcess) ask(t *testing.T, method, path string, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Fatalf("%s is answered %d and %v", path, response.StatusCode, err)
	}
}

// runOIDCProvider runs server.mjs with an argument until the test ends, and returns its URL.
func runOIDCProvider(t *testing.T, argument any) (address string) {
	t.Helper()
	dir := installedOIDCProvider(t)
	encoded, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "server.mjs", string(encoded))
	node.Dir = dir
	stdin, err := node.StdinPipe() // which ends when we do
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	node.Stderr = &stderr
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		_ = node.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if address, ready := strings.CutPrefix(lines.Text(), "ready "); ready {
			return address
		}
	}
	_ = node.Wait() // for all that it says
	t.Fatalf("oidc-provider has not started: %s", &stderr)
	return ""
}
