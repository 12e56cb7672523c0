// Package idp runs an OpenID provider on the loopback interface, so that examples
// and tests can get tokens that expire, rotate and are revoked from a real server:
//
//	provider, err := idp.Start(idp.Config{AccessTokenLifetime: 2 * time.Second})
//	...
//	defer provider.Close()
//	token, err := provider.Grant(ctx)
//
// It is github.com/zitadel/oidc on a storage in memory, with the endpoints that
// programs talk to: discovery, keys, token (for the refresh_token and the
// client_credentials grant), introspection, revocation and userinfo. There are
// none for browsers; [Server.Grant] stands in for a user who logs in.
//
// Refresh tokens rotate: each is good for one use. Where one is used twice, one of
// the two users is a thief, so that all tokens of that login are revoked.
package idp

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// Config configures a [Server]. The zero Config is ready to use.
type Config struct {
	// AccessTokenLifetime is how long an access token is good for, at least a
	// second. The server keeps it to the millisecond; the expires_in that tells
	// clients has whole seconds only, rounded down. Default: 5 minutes.
	AccessTokenLifetime time.Duration

	// ClientID identifies the client. Default: "demo".
	ClientID string

	// ClientSecret is the client's secret. Default: a random one.
	ClientSecret string

	// ClientKey is the public key of a client that authenticates itself by signed
	// statements (private_key_jwt, RFC 7523) when it refreshes. Its secret is then
	// good for introspection only. Default: none.
	ClientKey crypto.PublicKey

	// Public says that the client does not authenticate itself when it refreshes
	// (RFC 6749, section 2.1). Its secret is then good for introspection only.
	Public bool

	// Wrap returns the handler of all requests, given the server's own, say to trace
	// them. Default: the server's own.
	Wrap func(http.Handler) http.Handler
}

// A Server is a running OpenID provider with one client and one user. Make one
// with [Start]. It is safe for concurrent use.
type Server struct {
	Issuer       string // the server's own URL
	TokenURL     string // where to post token requests
	ClientID     string // of the client, which authenticates by HTTP Basic or in the form
	ClientSecret string

	lifetime      time.Duration
	storage       *storage
	provider      *op.Provider
	tokenRequests atomic.Int64

	introspector rs.ResourceServer
	client       *http.Client // of the introspector

	http    http.Server
	running sync.WaitGroup
}

// Start starts a server on a free port of 127.0.0.1. The caller must close it.
func Start(config Config) (*Server, error) {
	s := &Server{
		ClientID:     cmp.Or(config.ClientID, "demo"),
		ClientSecret: cmp.Or(config.ClientSecret, rand.Text()),
		lifetime:     cmp.Or(config.AccessTokenLifetime, 5*time.Minute),
		client:       &http.Client{Transport: new(http.Transport)},
	}
	if s.lifetime < time.Second {
		return nil, fmt.Errorf("idp: invalid AccessTokenLifetime %v: want at least 1s", s.lifetime)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	s.Issuer = "http://" + listener.Addr().String()
	if err := s.setUp(config); err != nil {
		return nil, fmt.Errorf("idp: %w", errors.Join(err, listener.Close()))
	}
	s.running.Go(func() { _ = s.http.Serve(listener) })
	return s, nil
}

// setUp makes the parts of a server that knows its URL.
func (s *Server) setUp(c Config) (err error) {
	if s.storage, err = newStorage(s.newClient(c), s.lifetime); err != nil {
		return err
	}
	config := &op.Config{GrantTypeRefreshToken: true, AuthMethodPrivateKeyJWT: true}
	_, _ = rand.Read(config.CryptoKey[:]) // never fails
	s.provider, err = op.NewProvider(config, s.storage, op.StaticIssuer(s.Issuer), op.WithAllowInsecure())
	if err != nil {
		return err
	}
	endpoints := s.provider.Endpoints()
	s.TokenURL = endpoints.Token.Absolute(s.Issuer)
	s.introspector, err = rs.NewResourceServerClientCredentials(
		context.Background(), s.Issuer, s.ClientID, s.ClientSecret, rs.WithClient(s.client),
		rs.WithStaticEndpoints(s.TokenURL, endpoints.Introspection.Absolute(s.Issuer)),
	)
	if err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST "+endpoints.Token.Relative(), s.serveToken)
	mux.Handle("POST "+endpoints.Introspection.Relative(), s.provider)
	mux.Handle("POST "+endpoints.Revocation.Relative(), s.provider)
	mux.Handle("GET "+endpoints.Userinfo.Relative(), s.provider)
	mux.Handle("GET "+endpoints.JwksURI.Relative(), s.provider)
	mux.Handle("GET /.well-known/openid-configuration", s.provider)
	s.http.Handler = mux
	if c.Wrap != nil {
		s.http.Handler = c.Wrap(mux)
	}
	s.http.BaseContext = func(net.Listener) context.Context { return untraced(context.Background()) }
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	return nil
}

// Close stops the server and closes its connections.
func (s *Server) Close() {
	_ = s.http.Close() // its connections need no good-bye
	s.running.Wait()
	s.client.CloseIdleConnections()
}

// Grant logs the demo user in, without a browser: it returns a new access token
// and the first of a new family of refresh tokens.
func (s *Server) Grant(ctx context.Context) (*oauth2.Token, error) {
	ctx = op.ContextWithIssuer(untraced(ctx), s.Issuer)
	start := time.Now()
	scopes := []string{"openid", "offline_access"}
	request := &refreshRequest{&login{clientID: s.ClientID, at: start, scopes: scopes}, scopes}
	response, err := op.CreateTokenResponse(ctx, request, s.storage.client, s.provider, true, "", "")
	if err != nil {
		return nil, fmt.Errorf("idp: %w", err)
	}
	return &oauth2.Token{
		AccessToken:  response.AccessToken,
		RefreshToken: response.RefreshToken,
		TokenType:    response.TokenType,
		Expiry:       start.Add(s.lifetime),
		ExpiresIn:    s.expiresIn(),
	}, nil
}

// RevokeAccessTokens revokes all access tokens that were issued so far. Refresh
// tokens stay good.
func (s *Server) RevokeAccessTokens() { s.storage.revokeAccessTokens() }

// TokenRequests returns how many requests have come to the token endpoint, refused
// ones included.
func (s *Server) TokenRequests() int { return int(s.tokenRequests.Load()) }

// Reuses returns how many refresh tokens were used a second time, each of which
// revoked the tokens of a login.
func (s *Server) Reuses() int { return s.storage.reuseCount() }

// expiresIn returns the lifetime of access tokens as token responses tell it.
func (s *Server) expiresIn() int64 { return int64(s.lifetime / time.Second) }
