package idp

import (
	"context"
	"crypto"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A client is the program that may ask for tokens. The methods of the embedded
// interface, which is nil, are for log-ins with a browser.
type client struct {
	op.Client

	id, secret string
	key        crypto.PublicKey // nil if it has none
	auth       oidc.AuthMethod
}

func (s *Server) newClient(c Config) *client {
	client := &client{id: s.ClientID, secret: s.ClientSecret, key: c.ClientKey, auth: oidc.AuthMethodBasic}
	switch {
	case c.Public:
		client.auth = oidc.AuthMethodNone
	case c.ClientKey != nil:
		client.auth = oidc.AuthMethodPrivateKeyJWT
	}
	return client
}

func (c *client) GetID() string                       { return c.id }
func (c *client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *client) AuthMethod() oidc.AuthMethod         { return c.auth }
func (c *client) ClockSkew() time.Duration            { return 0 }

// AccessTokenType says that access tokens are opaque: that they are good, an API
// learns from the server, so that it also learns when they are revoked.
func (c *client) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }

func (c *client) IDTokenLifetime() time.Duration       { return time.Hour }
func (c *client) IDTokenUserinfoClaimsAssertion() bool { return false }

func (c *client) RestrictAdditionalIdTokenScopes() func([]string) []string { //nolint:revive // The interface spells it so.
	return func(scopes []string) []string { return scopes }
}

func (c *client) GrantTypes() []oidc.GrantType {
	return []oidc.GrantType{oidc.GrantTypeRefreshToken, oidc.GrantTypeClientCredentials}
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.id {
		return nil, oidc.ErrInvalidClient()
	}
	return s.client, nil
}

func (s *storage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	if id != s.client.id || secret != s.client.secret {
		return errors.New("unknown client or wrong secret")
	}
	return nil
}

// GetKeyByIDAndClientID returns the key that a client signs statements about itself with.
func (s *storage) GetKeyByIDAndClientID(_ context.Context, _, id string) (*jose.JSONWebKey, error) {
	if id != s.client.id || s.client.key == nil {
		return nil, errors.New("unknown client or no key")
	}
	return &jose.JSONWebKey{Key: s.client.key, Use: "sig"}, nil
}

func (s *storage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	return s.client, s.AuthorizeClientIDSecret(ctx, id, secret)
}

func (s *storage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	// The library cannot read its own tokens again if the subject has a colon.
	return &oidc.JWTTokenRequest{Subject: url.QueryEscape(id), Audience: []string{id}, Scopes: scopes}, nil
}

// SetUserinfoFromScopes says what an ID token tells about the user: who it is.
func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, user, _ string, _ []string) error {
	info.Subject = user
	return nil
}
