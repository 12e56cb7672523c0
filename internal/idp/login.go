package idp

import "time"

const demoUser = "demo-user"

// A login is the family of refresh tokens that began when the user logged in.
type login struct {
	clientID string
	at       time.Time
	scopes   []string
	current  string // the only refresh token that is good; empty once revoked
}

// A refreshRequest asks for new tokens for a login, perhaps with fewer scopes.
type refreshRequest struct {
	login  *login
	scopes []string
}

func (r *refreshRequest) GetAMR() []string                 { return nil }
func (r *refreshRequest) GetAudience() []string            { return []string{r.login.clientID} }
func (r *refreshRequest) GetAuthTime() time.Time           { return r.login.at }
func (r *refreshRequest) GetClientID() string              { return r.login.clientID }
func (r *refreshRequest) GetScopes() []string              { return r.scopes }
func (r *refreshRequest) GetSubject() string               { return demoUser }
func (r *refreshRequest) SetCurrentScopes(scopes []string) { r.scopes = scopes }
