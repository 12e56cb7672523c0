package idp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A storage keeps what a [Server] knows. The methods of the embedded interface,
// which is nil, are for endpoints that the server does not have.
type storage struct {
	op.Storage

	client   *client
	key      *ecdsa.PrivateKey
	lifetime time.Duration // of access tokens

	mu      sync.Mutex             // guards the fields below, and login.current
	access  map[string]accessToken // by ID
	refresh map[string]*login      // by token, used ones included
	reuses  int
}

// An accessToken is what is known of an access token besides its ID.
type accessToken struct {
	subject string
	scopes  []string
	issued  time.Time
	login   *login // nil if the client got the token for itself
}

func newStorage(client *client, lifetime time.Duration) (*storage, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &storage{
		client:   client,
		key:      key,
		lifetime: lifetime,
		access:   make(map[string]accessToken),
		refresh:  make(map[string]*login),
	}, nil
}

// CreateAccessToken makes an access token for the client itself.
func (s *storage) CreateAccessToken(_ context.Context, r op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, expires := s.newAccessToken(r, nil)
	return id, expires, nil
}

// TokenRequestByRefreshToken returns the log-in that a refresh token stands for.
func (s *storage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	login, err := s.loginOf(token)
	if err != nil {
		return nil, err
	}
	return &refreshRequest{login, login.scopes}, nil
}

// CreateAccessAndRefreshTokens makes an access token and a refresh token, instead
// of the given one unless that is empty.
func (s *storage) CreateAccessAndRefreshTokens(_ context.Context, r op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	login := r.(*refreshRequest).login
	if current != "" {
		// Another request may have used it since it was looked up.
		if _, err := s.loginOf(current); err != nil {
			return "", "", time.Time{}, err
		}
	}
	login.current = rand.Text()
	s.refresh[login.current] = login
	id, expires := s.newAccessToken(r, login)
	return id, login.current, expires, nil
}

// SetIntrospectionFromToken tells what an access token is good for, or an error if
// for nothing.
func (s *storage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, id, _, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := s.accessToken(id)
	if err != nil {
		return err
	}
	answer.Subject = token.subject
	answer.Scope = token.scopes
	answer.ClientID = s.client.id
	answer.TokenType = oidc.BearerToken
	answer.IssuedAt = oidc.FromTime(token.issued)
	answer.Expiration = oidc.FromTime(token.issued.Add(s.lifetime))
	return nil
}

// SetUserinfoFromToken tells who the user is that an access token stands for.
func (s *storage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, id, _, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := s.accessToken(id)
	if err != nil {
		return err
	}
	info.Subject = token.subject
	return nil
}

// GetRefreshTokenInfo finds out whether a token to revoke is a refresh token.
func (s *storage) GetRefreshTokenInfo(_ context.Context, _, token string) (subject, id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.refresh[token]; !ok {
		return "", "", op.ErrInvalidRefreshToken
	}
	return demoUser, token, nil
}

// RevokeToken revokes an access token by its ID, or the log-in of a refresh token.
func (s *storage) RevokeToken(_ context.Context, token, _, _ string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.access, token)
	if login, ok := s.refresh[token]; ok {
		s.revoke(login)
	}
	return nil
}

func (s *storage) revokeAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.access)
}

func (s *storage) reuseCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reuses
}

func (s *storage) newAccessToken(r op.TokenRequest, login *login) (id string, expires time.Time) {
	id, now := rand.Text(), time.Now()
	s.access[id] = accessToken{r.GetSubject(), r.GetScopes(), now, login}
	return id, now.Add(s.lifetime)
}

// accessToken returns what is known of an access token that is good.
func (s *storage) accessToken(id string) (accessToken, error) {
	token, ok := s.access[id]
	switch {
	case !ok:
		return accessToken{}, errors.New("unknown or revoked")
	case !time.Now().Before(token.issued.Add(s.lifetime)):
		delete(s.access, id)
		return accessToken{}, errors.New("expired")
	}
	return token, nil
}

// loginOf returns the log-in whose current refresh token is the given one. An
// earlier one of the same log-in revokes it.
func (s *storage) loginOf(token string) (*login, error) {
	login, ok := s.refresh[token]
	switch {
	case !ok || login.current == "":
		return nil, oidc.ErrInvalidGrant().WithDescription("unknown or revoked refresh token")
	case login.current != token:
		s.reuses++
		s.revoke(login)
		return nil, oidc.ErrInvalidGrant().WithDescription("refresh token used twice")
	}
	return login, nil
}

func (s *storage) revoke(login *login) {
	login.current = ""
	for id, token := range s.access {
		if token.login == login {
			delete(s.access, id)
		}
	}
}
