package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A chain of redirects begins with the first of some origins and leads to the others,
// whatever host and port they have: two servers stand for all of them, one with TLS.
type chain struct {
	origins []string

	mu     sync.Mutex
	tokens []bool // whether the requests had anything to do with the token
}

// ServeHTTP answers the request with the given number, by its path. The last one is a
// 401 if there is no token in it.
func (c *chain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	token := r.Header.Get("DPoP") != "" || strings.Contains(fmt.Sprint(r.Header, r.URL, string(body)), "AT1")
	c.tokens = append(c.tokens, token)
	switch n := len(c.tokens); {
	case n < len(c.origins):
		http.Redirect(w, r, fmt.Sprint(c.origins[n], "/", n), http.StatusTemporaryRedirect)
	case !token:
		w.Header().Set("Www-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// follow has a client follow the chain, and returns which of the requests had the token, as
// "+" and "-", and the final status.
func (c *chain) follow(t *testing.T, config auth.Config, method string) (tokens string, status int) {
	t.Helper()
	secure, plain := httptest.NewTLSServer(c), httptest.NewServer(c)
	defer secure.Close()
	defer plain.Close()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate()) // for example.com, and all names below
	base := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			listener := secure.Listener
			if strings.HasSuffix(address, ":80") {
				listener = plain.Listener
			}
			return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
		},
	}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: pipeline.Must(pipeline.New("api", auth.New(config))).Transport(base)}
	status = send(t, client, method, c.origins[0], strings.NewReader("payload"))

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, token := range c.tokens {
		tokens += map[bool]string{true: "+", false: "-"}[token]
	}
	return tokens, status
}

// once is a source with one token.
type once struct{ requests int }

func (o *once) as(tokenType string) auth.Source {
	return source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		o.requests++
		return &oauth2.Token{AccessToken: "AT1", TokenType: tokenType}, nil
	})
}

const (
	home  = "https://api.example.com"
	other = "https://files.example.com"
)

func TestAuth38Redirects(t *testing.T) {
	inject := func(ctx context.Context, call policy.Call, token *oauth2.Token) (context.Context, policy.Call) {
		return ctx, call.WithHeader("X-Signature", "of "+token.AccessToken)
	}
	ways := map[string]auth.Config{ // to send the token
		"Bearer":   {},
		"DPoP":     {DPoP: auth.NewDPoP(nil)},
		"header":   {Header: "X-Api-Key"},
		"prefix":   {Header: "X-Vault", Prefix: "token"},
		"injector": {Inject: inject},
	}
	tests := []struct {
		name    string
		origins []string
		want    string
	}{
		{"same origin", []string{home, home, home}, "+++"},
		{"same origin, with its port", []string{home, "https://API.example.com:443", home}, "+++"},
		{"another host", []string{home, other}, "+-"},
		{"a host below", []string{"https://example.com", home}, "+-"},
		{"another port", []string{home, home + ":8443"}, "+-"},
		{"downgrade", []string{home, "http://api.example.com"}, "+-"},
		{"upgrade", []string{"http://api.example.com", home}, "+-"},
		{"back from another host", []string{home, other, home}, "+--"},
		{"back from another port", []string{home, home + ":8443", home}, "+--"},
		{"back from http", []string{home, "http://api.example.com", home}, "+--"},
		{"back, and on at home", []string{home, home, other, home, home}, "++---"},
		{"to and fro", []string{home, other, home, other, home}, "+----"},
	}
	for name, config := range ways {
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				config, tokens := config, new(once)
				config.Source = tokens.as("Bearer")
				if config.DPoP != nil {
					config.Source = tokens.as("DPoP")
				}
				config.AllowInsecure = true // it is not for that reason that tokens stay at home
				for _, method := range []string{http.MethodGet, http.MethodPost} {
					wantStatus := map[bool]int{true: 200, false: 401}[strings.HasSuffix(tt.want, "+")]
					got, status := (&chain{origins: tt.origins}).follow(t, config, method)
					if got != tt.want || status != wantStatus {
						t.Errorf("%s: requests %s and %d, want %s and %d", method, got, status, tt.want, wantStatus)
					}
				}
				if tokens.requests != 2 {
					t.Errorf("%d token requests, want one for each of 2 policies: the last 401 is not ours", tokens.requests)
				}
			})
		}
	}
}

// What Origins allow is no reason to send a token to where a redirect points.
func TestAuth38RedirectsAndOrigins(t *testing.T) {
	tests := []struct {
		name    string
		allowed []string
		origins []string
		want    string
		tokens  int // requests for them
	}{
		{"between two that may have it", []string{home, other}, []string{home, other, home}, "+--", 1},
		{"from elsewhere", []string{home}, []string{other, home}, "--", 0},
		{"away", []string{home}, []string{home, other}, "+-", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := new(once)
			got, status := (&chain{origins: tt.origins}).follow(t, auth.Config{Source: tokens.as("Bearer"), Origins: tt.allowed}, http.MethodGet)
			if got != tt.want || status != http.StatusUnauthorized || tokens.requests != tt.tokens {
				t.Errorf("requests %s and %d after %d token requests, want %s and 401 after %d", got, status, tokens.requests, tt.want, tt.tokens)
			}
		})
	}
}

// By default a token does not go out in the clear, and what follows a redirect there
// is not even refused: it has none.
func TestAuth38Downgrade(t *testing.T) {
	got, status := (&chain{origins: []string{home, "http://api.example.com"}}).follow(t, auth.Config{Source: new(once).as("Bearer")}, http.MethodGet)
	if got != "+-" || status != http.StatusUnauthorized {
		t.Errorf("requests %s and %d, want the second without the token, and its 401", got, status)
	}
}
