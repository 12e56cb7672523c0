package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
)

// A Source is where tokens come from.
//
// Its errors say by their class (see package policy) what becomes of them.
// One that matches [ErrReauthRequired] is final until [Policy.SetToken] is
// called. After one of class Permanent or Unauthenticated nobody asks for a
// minute. All others may pass, and are followed by a pause that grows from 0.5 s
// to 30 s, or longer, up to 5 min, if the error has a method RetryAfter. They
// appear in the errors of calls, so they must not tell secrets.
type Source interface {
	// Token asks for a token that takes the place of old, which was the last
	// one: its refresh token is the one to use. At first old is nil.
	//
	// The policy makes one call at a time, unless [Policy.SetToken] brings another
	// refresh token, or ends the wait for a call that is overdue. It ignores
	// whether the token has expired, except that Expiry, or ExpiresIn if that is
	// zero, says when it will; with neither it is used until it is refused. A token
	// that comes without a refresh token keeps that of old (RFC 6749, section 6).
	//
	// Token returns soon after ctx has ended. No caller's cancellation ends it.
	Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error)
}

// A RefreshToken is a [Source] that uses a refresh token (RFC 6749, section
// 6), and those that the server gives out in its place.
//
// Printed, it shows no secrets. Beware of unexported fields, though: package
// fmt asks their values for no methods, and with verbs such as %s it follows even a
// pointer there. Keep the [Policy] in such a field, which is safe, and not the source.
type RefreshToken struct {
	// TokenURL is the token endpoint. It must be https, or on loopback.
	TokenURL string `json:"token_url" yaml:"token_url"`

	// ClientID is the client's identifier. Required.
	ClientID string `json:"client_id" yaml:"client_id"`

	// ClientSecret is the client's secret. Default: none, for public clients.
	ClientSecret string `json:"client_secret" yaml:"client_secret"`

	// SecretFrom returns the client's secret, for secrets that are replaced now
	// and then. It is asked before every token request, and may keep what it
	// returns for a while. If the server does not know the client by that
	// (invalid_client), it is asked once more, and if it then has another secret,
	// the request is repeated with that, once. What holds for the context and the
	// errors of Assertion, and for concurrent use, holds here too. It excludes
	// ClientSecret and Assertion. Default: none.
	SecretFrom func(ctx context.Context) (string, error) `json:"-" yaml:"-"`

	// Assertion authenticates the client by a signed statement in place of a
	// secret (RFC 7521, section 4.2), such as that of a [PrivateKeyJWT]. It is
	// asked for a new one before every token request, repeated ones included,
	// as servers accept each only once. Its context ends when the time of the
	// token request is up. The class of its error (see package policy) says what
	// becomes of it, as with those of a [Source]; the error's text is not told,
	// as it may hold anything. It must be safe for concurrent use. It excludes
	// ClientSecret and SecretFrom. Default: none.
	Assertion func(ctx context.Context) (string, error) `json:"-" yaml:"-"`

	// AuthStyle says how the client authenticates itself (RFC 6749, section
	// 2.3.1). Default: by HTTP Basic, which servers must support, if there is a
	// secret, otherwise by its identifier in the body. Nothing is ever tried
	// out, as that would send the refresh token twice.
	AuthStyle oauth2.AuthStyle `json:"auth_style" yaml:"auth_style"`

	// RefreshToken is the one to begin with. Required, unless [Config] has a
	// Store: if that has none either, calls fail with [ErrReauthRequired] until
	// [Policy.SetToken] brings one.
	RefreshToken string `json:"refresh_token" yaml:"refresh_token"`

	// Scopes are those to ask for; they must have been granted. Default: all
	// that were.
	Scopes []string `json:"scopes" yaml:"scopes"`

	// Params are sent along, such as resource (RFC 8707). Default: none.
	Params url.Values `json:"params" yaml:"params"`

	// DPoP has the server bind tokens to a key (RFC 9449), by a proof with every
	// token request. [Config] must have the same one. Default: none.
	DPoP *DPoP `json:"-" yaml:"-"`

	// HTTPClient sends the token requests. It must not go through the policy that
	// the tokens are for, nor repeat requests by itself: servers accept an
	// assertion, a proof, and often a refresh token only once. Redirects are not
	// followed, whatever it says. Default: [http.DefaultClient].
	HTTPClient *http.Client `json:"-" yaml:"-"`

	// AllowInsecure permits a TokenURL that is neither https nor loopback. Default:
	// that is invalid.
	AllowInsecure bool `json:"allow_insecure" yaml:"allow_insecure"`
}

// Validate reports what is wrong with s.
func (s RefreshToken) Validate() error {
	err := s.endpoint().validate()
	if s.RefreshToken == "" {
		err = errors.Join(err, errNoRefreshToken)
	}
	return err
}

var errNoRefreshToken = errors.New("invalid RefreshToken: want the one to begin with")

// Token implements [Source].
func (s RefreshToken) Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	current := s.RefreshToken
	if old != nil && old.RefreshToken != "" {
		current = old.RefreshToken
	}
	if current == "" {
		return nil, errLoggedOut
	}
	token, err := s.endpoint().request(ctx, url.Values{"grant_type": {s.grantType()}, "refresh_token": {current}})
	if answer, ok := errors.AsType[*answerError](err); ok && answer.code == "invalid_grant" {
		return nil, &lostGrantError{answer}
	}
	return token, err
}

func (s RefreshToken) grantType() string         { return "refresh_token" }
func (s RefreshToken) firstRefreshToken() string { return s.RefreshToken }
func (s RefreshToken) proofs() *DPoP             { return s.DPoP }

func (s RefreshToken) endpoint() endpoint {
	return endpoint{
		tokenURL:      s.TokenURL,
		clientID:      s.ClientID,
		clientSecret:  s.ClientSecret,
		secretFrom:    s.SecretFrom,
		assertion:     s.Assertion,
		authStyle:     s.AuthStyle,
		dpop:          s.DPoP,
		scopes:        s.Scopes,
		params:        s.Params,
		httpClient:    s.HTTPClient,
		allowInsecure: s.AllowInsecure,
	}
}

// ClientCredentials is a [Source] for programs that act on their own behalf
// (RFC 6749, section 4.4). No human is needed for a new token, so calls never fail
// with [ErrReauthRequired].
//
// Printed, it shows no secrets. Beware of unexported fields, though: package
// fmt asks their values for no methods, and with verbs such as %s it follows even a
// pointer there. Keep the [Policy] in such a field, which is safe, and not the source.
type ClientCredentials struct {
	// TokenURL is the token endpoint. It must be https, or on loopback.
	TokenURL string `json:"token_url" yaml:"token_url"`

	// ClientID is the client's identifier. Required.
	ClientID string `json:"client_id" yaml:"client_id"`

	// ClientSecret is the client's secret. Default: none, for clients that
	// authenticate themselves by other means, such as a TLS certificate of
	// HTTPClient.
	ClientSecret string `json:"client_secret" yaml:"client_secret"`

	// SecretFrom returns the client's secret, for secrets that are replaced now
	// and then. It is asked before every token request, and may keep what it
	// returns for a while. If the server does not know the client by that
	// (invalid_client), it is asked once more, and if it then has another secret,
	// the request is repeated with that, once. What holds for the context and the
	// errors of Assertion, and for concurrent use, holds here too. It excludes
	// ClientSecret and Assertion. Default: none.
	SecretFrom func(ctx context.Context) (string, error) `json:"-" yaml:"-"`

	// Assertion authenticates the client by a signed statement in place of a
	// secret (RFC 7521, section 4.2), such as that of a [PrivateKeyJWT]. It is
	// asked for a new one before every token request, repeated ones included,
	// as servers accept each only once. Its context ends when the time of the
	// token request is up. The class of its error (see package policy) says what
	// becomes of it, as with those of a [Source]; the error's text is not told,
	// as it may hold anything. It must be safe for concurrent use. It excludes
	// ClientSecret and SecretFrom. Default: none.
	Assertion func(ctx context.Context) (string, error) `json:"-" yaml:"-"`

	// AuthStyle says how the client authenticates itself (RFC 6749, section
	// 2.3.1). Default: by HTTP Basic, which servers must support, if there is a
	// secret, otherwise by its identifier in the body. Nothing is ever tried out.
	AuthStyle oauth2.AuthStyle `json:"auth_style" yaml:"auth_style"`

	// Scopes are those to ask for. Default: the server's default.
	Scopes []string `json:"scopes" yaml:"scopes"`

	// Params are sent along, such as audience, or resource (RFC 8707).
	// Default: none.
	Params url.Values `json:"params" yaml:"params"`

	// DPoP has the server bind tokens to a key (RFC 9449), by a proof with every
	// token request. [Config] must have the same one. Default: none.
	DPoP *DPoP `json:"-" yaml:"-"`

	// HTTPClient sends the token requests. It must not go through the policy that
	// the tokens are for, nor repeat requests by itself: servers accept an
	// assertion, a proof, and often a refresh token only once. Redirects are not
	// followed, whatever it says. Default: [http.DefaultClient].
	HTTPClient *http.Client `json:"-" yaml:"-"`

	// AllowInsecure permits a TokenURL that is neither https nor loopback. Default:
	// that is invalid.
	AllowInsecure bool `json:"allow_insecure" yaml:"allow_insecure"`
}

// Validate reports what is wrong with s.
func (s ClientCredentials) Validate() error { return s.endpoint().validate() }

// Token implements [Source].
func (s ClientCredentials) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	return s.endpoint().request(ctx, url.Values{"grant_type": {s.grantType()}})
}

func (s ClientCredentials) grantType() string { return "client_credentials" }
func (s ClientCredentials) proofs() *DPoP     { return s.DPoP }

func (s ClientCredentials) endpoint() endpoint {
	return endpoint{
		tokenURL:      s.TokenURL,
		clientID:      s.ClientID,
		clientSecret:  s.ClientSecret,
		secretFrom:    s.SecretFrom,
		assertion:     s.Assertion,
		authStyle:     s.AuthStyle,
		dpop:          s.DPoP,
		scopes:        s.Scopes,
		params:        s.Params,
		httpClient:    s.HTTPClient,
		allowInsecure: s.AllowInsecure,
	}
}

// grantType returns what kind of source s is.
func grantType(s Source) string {
	if typed, ok := s.(interface{ grantType() string }); ok && !isNil(s) {
		return typed.grantType()
	}
	return "custom"
}
