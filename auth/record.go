package auth

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A record is what a store keeps of a grant.
type record struct {
	Version      int                    `json:"version"`
	RefreshToken string                 `json:"refresh_token,omitempty"` // the one to use next
	Tokens       map[string]storedToken `json:"tokens,omitempty"`        // by slot
	Holder       string                 `json:"holder,omitempty"`        // who is about to use the refresh token
	Lost         bool                   `json:"lost,omitempty"`          // somebody has to log in again

	// Logins are digests of the refresh tokens that the program was given, by
	// its configuration or by SetToken, the one that was given last last, for the first
	// time or again. One that is among them has been taken up, and may long be spent.
	Logins []string `json:"logins,omitempty"`
}

const (
	recordVersion = 1
	maxLogins     = 64
)

// A storedToken is an access token as others find it. Its life is counted in
// durations as far as possible, since clocks differ.
type storedToken struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type,omitempty"`
	IssuedAt    time.Time `json:"issued_at"`
	ExpiresIn   float64   `json:"expires_in,omitempty"` // seconds after IssuedAt; 0 if nobody knows
}

// parseRecord returns the record that a store has for a grant, or an empty one.
func parseRecord(value []byte, rev uint64) (record, error) {
	r := record{Version: recordVersion}
	if rev == 0 {
		return r, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return r, errRecord // whose text would quote it
	}
	if r.Version != recordVersion {
		return r, policy.WithClass(fmt.Errorf("the record is of version %d: want %d", r.Version, recordVersion), policy.Permanent)
	}
	return r, nil
}

var errRecord = policy.WithClass(errors.New("the record is not one of this package's: want another Grant, or Store"), policy.Permanent)

// login has r begin anew with a refresh token that the program was given, unless
// that has been taken up before.
func (r *record) login(refreshToken string) {
	if refreshToken == "" {
		return
	}
	digest := digestOf(refreshToken)
	if !slices.Contains(r.Logins, digest) {
		*r = record{Version: recordVersion, RefreshToken: refreshToken, Logins: r.Logins}
	}
	// What is configured is given again and again, so it is never among those
	// that are dropped.
	others := slices.DeleteFunc(slices.Clone(r.Logins), func(login string) bool { return login == digest })
	r.Logins = append(others, digest)
	r.Logins = r.Logins[max(0, len(r.Logins)-maxLogins):]
}

// digestOf returns what identifies a secret to those who know it.
func digestOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// put puts a token that was asked for at the given time into r.
func (r *record) put(slot string, token *oauth2.Token, asked time.Time) {
	r.RefreshToken = cmp.Or(token.RefreshToken, r.RefreshToken)
	if token.AccessToken == "" {
		return
	}
	stored := storedToken{AccessToken: token.AccessToken, TokenType: token.TokenType, IssuedAt: asked.Round(0).UTC()}
	if expiry := (minter{}).expiry(token, asked); !expiry.IsZero() {
		if !expiry.After(asked) {
			return
		}
		stored.ExpiresIn = expiry.Sub(asked).Seconds()
	}
	r.putStored(slot, stored)
}

// putStored puts a token into r, of which others may have copies.
func (r *record) putStored(slot string, token storedToken) {
	tokens := maps.Clone(r.Tokens)
	if tokens == nil {
		tokens = make(map[string]storedToken)
	}
	maps.DeleteFunc(tokens, func(_ string, t storedToken) bool { return t.expired() })
	tokens[slot] = token
	r.Tokens = tokens
}

// age returns how old t is. Where the clock of whoever asked for it is ahead of
// ours, it is as good as new: it gets no older than it says.
func (t storedToken) age() time.Duration { return max(0, time.Since(t.IssuedAt)) }

// lifetime returns how long t lives in all, 0 if nobody knows.
func (t storedToken) lifetime() time.Duration {
	return time.Duration(min(t.ExpiresIn, maxLifetime) * float64(time.Second))
}

func (t storedToken) expired() bool {
	lifetime := t.lifetime()
	return lifetime != 0 && t.age() >= lifetime-skew(lifetime, 0)
}

// adopt returns the token in r that takes the place of old, if there is one.
func (r *record) adopt(slot string, old *oauth2.Token) (arrival, bool) {
	t, ok := r.Tokens[slot]
	if !ok || t.expired() || old != nil && old.AccessToken == t.AccessToken {
		return arrival{}, false
	}
	asked := time.Now().Add(-t.age())
	token := &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: r.RefreshToken}
	if t.ExpiresIn != 0 {
		token.Expiry = asked.Add(t.lifetime())
	}
	return arrival{token: token, asked: asked, adopted: true}, true
}

// slotOf returns what tells the tokens of a source from others that come out of
// the same grant: what they are for.
func slotOf(s Source) string {
	if slotted, ok := s.(interface{ slot() string }); ok && !isNil(s) {
		return slotted.slot()
	}
	return ""
}

func (s RefreshToken) slot() string      { return slot(s.Scopes, s.Params, s.DPoP) }
func (s ClientCredentials) slot() string { return slot(s.Scopes, s.Params, s.DPoP) }

func slot(scopes []string, params url.Values, dpop *DPoP) string {
	if len(scopes) == 0 && len(params) == 0 && dpop == nil {
		return ""
	}
	text := strings.Join(slices.Sorted(slices.Values(scopes)), " ") + "\n" + params.Encode()
	if dpop.Validate() == nil { // a token is of no use to who has another key
		text += "\n" + dpop.prover.thumbprint
	}
	return digestOf(text)
}
