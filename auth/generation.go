package auth

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// A generation is one of the access tokens that a grant has had, one after the
// other. It is immutable.
type generation struct {
	token  *oauth2.Token // as it is shown to others: without the refresh token
	header string        // the value of the header that carries it
	asked  time.Time     // with a monotonic reading
	usable time.Duration // after asked
}

// unlimited is how long a token is usable that does not say when it expires: until
// it is refused (RFC 6749, section 5.1, only recommends expires_in).
const unlimited time.Duration = 1<<63 - 1

// maxLifetime, in seconds, keeps expires_in from overflowing: 68 years.
const maxLifetime = math.MaxInt32

// fresh reports whether g is there and has not expired.
func (g *generation) fresh() bool { return g != nil && time.Since(g.asked) < g.usable }

// newGeneration returns the generation of a token that was asked for at the
// given time and has come in now.
func newGeneration(token *oauth2.Token, prefix string, anyType bool, asked time.Time) (*generation, error) {
	took := time.Since(asked)
	expiry := token.Expiry
	if expiry.IsZero() && token.ExpiresIn != 0 {
		expiry = asked.Add(time.Duration(min(token.ExpiresIn, maxLifetime)) * time.Second)
	}
	switch {
	case token.AccessToken == "":
		return nil, errNoAccessToken
	case !isPrintable(token.AccessToken):
		return nil, errUnprintable
	case !anyType && !strings.EqualFold(token.Type(), "Bearer") && !strings.EqualFold(token.Type(), prefix):
		return nil, errUnknownType
	}
	g := &generation{
		token:  &oauth2.Token{AccessToken: token.AccessToken, TokenType: token.TokenType, Expiry: expiry, ExpiresIn: token.ExpiresIn},
		header: strings.TrimPrefix(prefix+" "+token.AccessToken, " "),
		asked:  asked,
		usable: unlimited,
	}
	if !expiry.IsZero() {
		lifetime := expiry.Sub(asked)
		if lifetime <= took {
			return nil, expiredError{max(0, lifetime.Round(time.Millisecond))}
		}
		g.usable = lifetime - skew(lifetime, took)
	}
	return g, nil
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
