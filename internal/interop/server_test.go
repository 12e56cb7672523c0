package interop_test

import (
	"context"
	"crypto"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// A server is a running authorization server with one client and one user.
type server struct {
	config

	tokenURL string
	audience string                 // of the statements of clients that have a key
	requests func(t *testing.T) int // how many token requests have come

	userInfoURL string // of the server's own API, if it has one

	// login returns the tokens of a user who has just logged in. It is nil if clients that have a
	// key cannot have a user.
	login func(t *testing.T) *oauth2.Token

	// inspect returns the scopes of an access token, and whether it is good.
	inspect func(ctx context.Context, token string) (scopes string, active bool, err error)

	// revoke revokes an access token, and nothing else.
	revoke func(t *testing.T, token string)
}

// A config is what tests want of a server.
type config struct {
	id, secret string           // of the client
	style      oauth2.AuthStyle // how the client sends its secret
	public     bool             // whether the client has no secret
	key        crypto.Signer    // what the client signs statements with, instead of a secret
	boundTo    crypto.Signer    // what access tokens are bound to, and refresh tokens of a public client
	lifetime   time.Duration    // of access tokens
}

// loginScopes are the scopes that users grant.
const loginScopes = "openid offline_access"

// traits are in what servers differ.
type traits struct {
	name  string
	start func(t *testing.T, c config) *server

	// lostGrantStatus is that of an answer with invalid_grant; RFC 6749, section 5.2, wants 400.
	lostGrantStatus int

	// revokesFamily says that the server revokes all tokens of a login if a refresh token is
	// used twice, as RFC 9700, section 4.14.2, wants, and does not just refuse it.
	revokesFamily bool

	// checksSecret says that the server authenticates clients that refresh (RFC 6749, section 6).
	checksSecret bool

	// decodesBasic says that the server decodes the identifier and secret of HTTP Basic (RFC
	// 6749, section 2.3.1).
	decodesBasic bool

	// verifiesKeys says that the server authenticates clients by private_key_jwt (RFC 7523), and
	// wrongKeyCode with which code it answers if that fails; RFC 6749, section 5.2, wants
	// invalid_client. Some know it for refresh only.
	verifiesKeys     bool
	wrongKeyCode     string
	keyOnlyRefreshes bool

	// bindsTokens says that the server binds tokens to a key, and wants a nonce in each proof that
	// it is there (RFC 9449).
	bindsTokens bool

	scope scopeRule

	// strange are characters to have in the client's identifier and secret.
	strange string

	// revokedStatus is what the server's own API answers for a token that is revoked, 0 if it has
	// no API; RFC 6750, section 3.1, wants 401.
	revokedStatus int

	// exact says that access tokens live as long as their expires_in says, not up to a second
	// less, and not just until the next refresh.
	exact bool
}

// A scopeRule is what a server makes of the scope of a refresh.
type scopeRule int

const (
	scopeChecked scopeRule = iota // it gives that, if it was granted, as RFC 6749, section 6, wants
	scopeIgnored                  // it gives what was granted
	scopeObeyed                   // it gives that, even if it was not granted
)

// each runs test against all servers at a time.
func each(t *testing.T, test func(t *testing.T, tr traits)) {
	t.Helper()
	t.Parallel()
	for _, tr := range []traits{zitadel, fositeServer, goOAuth2, oidcProvider} {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			test(t, tr)
		})
	}
}

// A counter counts the requests that come to a handler.
type counter struct {
	http.Handler

	n atomic.Int64
}

// ServeHTTP implements [http.Handler].
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.n.Add(1)
	c.Handler.ServeHTTP(w, r)
}

func (c *counter) count(*testing.T) int { return int(c.n.Load()) }

// serve serves handler on the loopback interface until the test ends, and returns where.
func serve(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() {
		_ = s.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String()
}

// newTransport returns a transport whose connections are closed when the test ends.
func newTransport(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
