package auth

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A PrivateKeyJWT authenticates a client by a statement that it signs with a
// private key, of which the server knows the public one (RFC 7523, section 2.2;
// private_key_jwt in OpenID Connect). No secret ever leaves the program:
//
//	key := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: privateKey}
//	source := auth.ClientCredentials{TokenURL: tokenURL, ClientID: "orders", Assertion: key.Assertion}
//
// It is safe for concurrent use if Key is. Printed, it does not show Key. Beware
// of unexported fields, though: package fmt asks their values for no methods, and
// with verbs such as %s it follows even a pointer there. Keep the method Assertion
// in such a field, which is safe, and not what it is of.
type PrivateKeyJWT struct {
	// ClientID is the client's identifier, which the statement is by and
	// about. Required.
	ClientID string `json:"client_id" yaml:"client_id"`

	// Audience is whom the statement is for: the server's issuer identifier or
	// the URL of its token endpoint, as the server has it. Required.
	Audience string `json:"audience" yaml:"audience"`

	// Key signs, by the one algorithm that goes with it (RFC 7518, section 3.1):
	// ES256, ES384 or ES512 for ECDSA on P-256, P-384 or P-521, RS256 for RSA of
	// 2048 bits or more, EdDSA for Ed25519 (RFC 8037). It may live in hardware or
	// elsewhere. Required.
	Key crypto.Signer `json:"-" yaml:"-"`

	// KeyID tells the server which of the client's keys it is. Default: none, for
	// clients that have one key.
	KeyID string `json:"key_id" yaml:"key_id"`
}

// assertionLifetime is how long a statement is valid. It has to travel to the
// token endpoint once.
const assertionLifetime = time.Minute

// Assertion returns a new statement that is valid for a minute. It fits the field
// Assertion of [RefreshToken] and [ClientCredentials]. If j is not valid, it
// returns what [PrivateKeyJWT.Validate] does, otherwise an error of Key.
func (j PrivateKeyJWT) Assertion(context.Context) (string, error) {
	if err := j.Validate(); err != nil {
		return "", err
	}
	alg, err := algorithmOf(j.Key)
	if err != nil {
		return "", err
	}
	header := struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
		KeyID     string `json:"kid,omitempty"`
	}{alg.name, "JWT", j.KeyID}
	now := time.Now()
	return alg.sign(j.Key, header, struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		ID       string `json:"jti"`
		IssuedAt int64  `json:"iat"`
		Expires  int64  `json:"exp"`
	}{j.ClientID, j.ClientID, j.Audience, rand.Text(), now.Unix(), now.Add(assertionLifetime).Unix()})
}

// Validate reports what is wrong with j, by an error of class
// [policy.Permanent]. Policies cannot see it behind its method, so ask for it at
// the start of a program; the first token request fails with the same otherwise.
func (j PrivateKeyJWT) Validate() error {
	var errs []error
	if j.ClientID == "" {
		errs = append(errs, setupError(`invalid ClientID "": want the one that the server knows the client by`))
	}
	if j.Audience == "" {
		errs = append(errs, setupError(`invalid Audience "": want the server's issuer or the URL of its token endpoint`))
	}
	if _, err := algorithmOf(j.Key); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// privateKeyJWT has the fields of PrivateKeyJWT as they may be shown.
type privateKeyJWT struct {
	ClientID string `json:"client_id" yaml:"client_id"`
	Audience string `json:"audience" yaml:"audience"`
	Key      string `json:"-" yaml:"-"`
	KeyID    string `json:"key_id" yaml:"key_id"`
}

func (j PrivateKeyJWT) masked() privateKeyJWT {
	masked := privateKeyJWT{ClientID: j.ClientID, Audience: shownURL(j.Audience), KeyID: j.KeyID}
	if j.Key != nil {
		masked.Key = "[redacted]"
	}
	return masked
}

// Format implements [fmt.Formatter], without the key.
func (j PrivateKeyJWT) Format(f fmt.State, verb rune) { format(f, verb, j.masked()) }

// LogValue implements [slog.LogValuer], without the key.
func (j PrivateKeyJWT) LogValue() slog.Value { return slog.AnyValue(j.masked()) }

// MarshalJSON implements [json.Marshaler], without the key.
func (j PrivateKeyJWT) MarshalJSON() ([]byte, error) { return json.Marshal(j.masked()) }

// MarshalYAML returns j without the key, as packages for YAML ask for.
func (j PrivateKeyJWT) MarshalYAML() (any, error) { return j.masked(), nil }
