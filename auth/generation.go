package auth

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// A generation is one of the access tokens that a grant has had, one after the
// other. It is immutable, except for when to renew it.
type generation struct {
	token  *oauth2.Token // as it is shown to others: without the refresh token
	header string        // the value of the header that carries it
	asked  time.Time     // with a monotonic reading
	usable time.Duration // after asked
	soft   atomic.Int64  // when to renew it, in nanoseconds after asked

	adopted bool // another replica had asked for it
}

// unlimited is how long a token is usable that does not say when it expires: until
// it is refused (RFC 6749, section 5.1, only recommends expires_in).
const unlimited time.Duration = 1<<63 - 1

// maxLifetime, in seconds, keeps expires_in from overflowing: 68 years.
const maxLifetime = math.MaxInt32

// fresh reports whether g is there and has not expired.
func (g *generation) fresh() bool { return g != nil && time.Since(g.asked) < g.usable }

// softAge is how old g is when it is better renewed, though it is fresh.
func (g *generation) softAge() time.Duration { return time.Duration(g.soft.Load()) }

// olderThan reports whether g may have been asked for before the given time. Of
// when others have, their clocks tell, which may be wrong.
func (g *generation) olderThan(at time.Time) bool { return g.adopted || g.asked.Before(at) }

// soften sets the soft age.
func (g *generation) soften(age time.Duration) { g.soft.Store(int64(age)) }

// A minter makes generations out of tokens.
type minter struct {
	prefix    string
	anyType   bool // whether tokens may be of a type that we do not know
	maxAge    time.Duration
	jwtExpiry bool
}

// mint returns the generation of a token that was asked for at the given time,
// took a while to come, and is here now.
func (m minter) mint(token *oauth2.Token, asked time.Time, took time.Duration) (*generation, error) {
	expiry := m.expiry(token, asked)
	switch {
	case token.AccessToken == "":
		return nil, errNoAccessToken
	case !isPrintable(token.AccessToken):
		return nil, errUnprintable
	case !m.anyType && strings.EqualFold(m.prefix, dpopScheme) && !strings.EqualFold(token.Type(), dpopScheme):
		return nil, errNotBound
	case !m.anyType && !strings.EqualFold(token.Type(), "Bearer") && !strings.EqualFold(token.Type(), m.prefix):
		return nil, errUnknownType
	}
	g := &generation{
		token:  &oauth2.Token{AccessToken: token.AccessToken, TokenType: token.TokenType, Expiry: expiry, ExpiresIn: token.ExpiresIn},
		header: strings.TrimPrefix(m.prefix+" "+token.AccessToken, " "),
		asked:  asked,
		usable: unlimited,
	}
	g.soften(unlimited)
	if expiry.IsZero() {
		return g, nil
	}
	lifetime := expiry.Sub(asked)
	if lifetime <= time.Since(asked) {
		return nil, expiredError{max(0, lifetime.Round(time.Millisecond))}
	}
	g.usable = lifetime - skew(lifetime, took)
	g.soften(softAge(lifetime, g.usable, refreshIn(token)))
	return g, nil
}

// expiry returns when a token expires, or the zero time.
func (m minter) expiry(token *oauth2.Token, asked time.Time) time.Time {
	expiry := token.Expiry
	if expiry.IsZero() && token.ExpiresIn != 0 {
		expiry = asked.Add(time.Duration(min(token.ExpiresIn, maxLifetime)) * time.Second)
	}
	if expiry.IsZero() && m.jwtExpiry {
		expiry = jwtExpiry(token.AccessToken)
	}
	if end := asked.Add(m.maxAge); m.maxAge > 0 && (expiry.IsZero() || end.Before(expiry)) {
		return end
	}
	return expiry
}

// jwtExpiry returns when an access token says that it expires, if it is a JWT
// (RFC 7519, section 4.1.4), or the zero time. Its signature is the API's affair.
func jwtExpiry(accessToken string) time.Time {
	parts := strings.Split(accessToken, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Expiry float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || !(claims.Expiry > 0 && claims.Expiry < maxUnix) {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expiry), 0)
}

// maxUnix is a time, in seconds, beyond all reason that package time can still
// count with: in the year 9999.
const maxUnix = 253402300799

// refreshIn returns after how long the server wants a token to be replaced, 0 if
// it does not say. Microsoft's do.
func refreshIn(token *oauth2.Token) time.Duration {
	now := time.Now()
	in := expiry(now, token.Extra("refresh_in"))
	return max(0, in.Sub(now))
}

// softAge returns when a token that lives and is usable for so long is to be
// replaced ahead of time: after 75 % to 85 % of its life, or in as long a time from
// when the server wants it, at random, so that those who start together do not come
// back together. Where that is hardly sooner than the end, it is as much earlier as
// leaves a rest.
func softAge(lifetime, usable, wanted time.Duration) time.Duration {
	spread := lifetime / 10
	last := cmp.Or(wanted, lifetime/4*3) + spread
	return min(last, usable-usable/10) - rand.N(spread+1)
}

var (
	errNoAccessToken = errors.New("the answer holds no access token")
	errUnprintable   = errors.New("the access token holds characters other than printable ASCII")
	errUnknownType   = errors.New("the token is of an unknown type: want Bearer, or that of Config.Prefix") // RFC 6749, section 7.1
)

// An expiredError says that a token was of no use when it came.
type expiredError struct{ lifetime time.Duration }

func (e expiredError) Error() string {
	return fmt.Sprintf("the token has expired before it came: its lifetime is %v", e.lifetime)
}

// skew returns how long before its end a lifetime is over for us. Servers
// count in whole seconds, and a request takes a while to get there. Short-lived
// tokens are used for three quarters of their time at least.
func skew(lifetime, roundTrip time.Duration) time.Duration {
	return min(max(10*time.Second, 1100*time.Millisecond+roundTrip), lifetime/4)
}
