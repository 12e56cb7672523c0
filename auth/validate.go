package auth

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

var (
	errNotMade    = policy.WithClass(errors.New("auth: not usable: want a Policy made with New"), policy.Permanent)
	errEmptyToken = errors.New("auth: invalid token: want an access token, a refresh token, or both")
	errNoSource   = errors.New("invalid Source nil: want a place to get tokens from")
)

// validateSource checks a source that may have a store to begin with.
func validateSource(s Source, store Store) error {
	if isNil(s) {
		return errNoSource
	}
	v, ok := s.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := v.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return fmt.Errorf("invalid Source: %w", err)
	}
	var errs []error // each with a prefix of its own
	for _, err := range joined.Unwrap() {
		if store != nil && errors.Is(err, errNoRefreshToken) {
			continue
		}
		errs = append(errs, fmt.Errorf("invalid Source: %w", err))
	}
	return errors.Join(errs...)
}

// isNil reports whether there is nothing, or a pointer to nothing, in an
// interface.
func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

// validateDPoP checks that tokens are bound to the key that they are sent with, in
// the way that servers expect them.
func validateDPoP(c *Config) error {
	if s, ok := c.Source.(interface{ proofs() *DPoP }); ok && !isNil(s) && s.proofs() != c.DPoP {
		return errors.New("invalid DPoP: want the same one in Config and in its Source")
	}
	if c.DPoP == nil {
		return nil
	}
	if c.Inject != nil || !strings.EqualFold(c.Header, "Authorization") || !strings.EqualFold(c.Prefix, dpopScheme) {
		return errors.New("invalid DPoP: want none beside Header, Prefix, or Inject (RFC 9449, section 7.1)")
	}
	return c.DPoP.Validate()
}

// What is beyond these is a number whose unit was mistaken.
const (
	minTimeout = time.Millisecond
	maxTimeout = time.Hour
)

func validateTimeout(d time.Duration) error {
	if d < minTimeout || d > maxTimeout {
		return fmt.Errorf("invalid Timeout %v: want %v to %v", d, minTimeout, maxTimeout)
	}
	return nil
}

func validateMaxAge(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("invalid MaxAge %v: want more than 0, or 0 for as long as the server says", d)
	}
	return nil
}

func validateStore(store Store, grant string, failOpen bool) error {
	switch {
	case store != nil && grant == "":
		return errors.New(`invalid Grant "": want the key of the grant in Store, the same in all replicas`)
	case store == nil && (grant != "" || failOpen):
		return errors.New("invalid Store nil: want one for Grant and FailOpen to be of use")
	}
	return nil
}

func validateOrigins(origins []string, allowInsecure bool) error {
	var errs []error
	for _, origin := range origins {
		switch {
		case origin == "", normalOrigin(origin) != origin:
			errs = append(errs, fmt.Errorf("invalid Origins element %q: want one such as %q", shownURL(origin), "https://api.example.com"))
		case !allowInsecure && insecure(origin):
			errs = append(errs, fmt.Errorf("invalid Origins element %q: want https, loopback, or AllowInsecure", origin))
		}
	}
	return errors.Join(errs...)
}

// notSent are the headers that net/http makes itself.
var notSent = []string{"connection", "content-length", "host", "trailer", "transfer-encoding"}

func validateHeader(header, prefix string) error {
	var errs []error
	switch {
	case !isToken(header):
		errs = append(errs, fmt.Errorf("invalid Header %q: want a name (RFC 9110, section 5.1)", header))
	case slices.Contains(notSent, strings.ToLower(header)):
		errs = append(errs, fmt.Errorf("invalid Header %q: want one that is sent as it is set", header))
	}
	if !isPrintable(prefix) {
		errs = append(errs, fmt.Errorf("invalid Prefix %q: want printable ASCII", prefix))
	}
	return errors.Join(errs...)
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isPrintable reports whether s consists of VSCHAR (RFC 6749, appendix A), as
// tokens do. Anything else might end a header and begin another.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// shownURL returns what may be told of a URL, which is nothing that might be a
// secret: no user, no query, no fragment.
func shownURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "unparsable"
	}
	if u.Opaque != "" {
		return u.Scheme + ":..."
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
