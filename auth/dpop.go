package auth

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"time"
)

// A DPoP makes proofs of possession of a key (RFC 9449), to which a server can
// bind tokens, so that whoever steals one cannot use it. Make one with [NewDPoP],
// and use it in [Config] and in its Source, and wherever else tokens are bound to
// the same key. It also remembers the nonces that servers want in their proofs, for
// about a hundred origins. It is safe for concurrent use if its key is. Printed,
// it does not show its key.
type DPoP struct {
	prover *prover
}

// A prover is what a DPoP consists of.
type prover struct {
	name       string                           // of the algorithm
	thumbprint string                           // of the public key
	sign       func(claims any) (string, error) // holds the key, out of reach of what prints structs by reflection
	err        error                            // what is wrong with the key
	nonces     nonces
}

// NewDPoP returns a DPoP with the given key, of one of the kinds that
// [PrivateKeyJWT] takes. If key is nil, it makes a new one on P-256. That is not
// enough for a refresh token that is to outlive the program: servers bind those of
// public clients to the key, too (RFC 9449, section 5).
func NewDPoP(key crypto.Signer) *DPoP {
	if key == nil {
		generated, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return &DPoP{&prover{err: setupError("invalid Key: none could be made")}}
		}
		key = generated
	}
	alg, err := algorithmOf(key)
	if err != nil {
		return &DPoP{&prover{err: err}}
	}
	jwk, err := jwkOf(key.Public())
	if err != nil {
		return &DPoP{&prover{err: err}}
	}
	header := struct {
		Type      string            `json:"typ"`
		Algorithm string            `json:"alg"`
		Key       map[string]string `json:"jwk"`
	}{"dpop+jwt", alg.name, jwk}
	sign := func(claims any) (string, error) { return alg.sign(key, header, claims) }
	return &DPoP{&prover{name: alg.name, thumbprint: digestOf(segment(jwk)), sign: sign}}
}

// Validate reports what is wrong with d: that NewDPoP did not make it, or its key
// is of no use. The error is of class [policy.Permanent].
func (d *DPoP) Validate() error {
	if d == nil || d.prover == nil {
		return setupError("invalid DPoP: want one made with NewDPoP")
	}
	return d.prover.err
}

// Proof returns a new proof, the value of the header DPoP, for one request with
// the given method, absolute URL and access token. An empty token is for token
// requests. A server accepts a proof once, for a short time. It is for those who
// send tokens themselves, as with [Policy.Use].
func (d *DPoP) Proof(method, url, accessToken string) (string, error) {
	return d.proof(originOf(url), method, url, accessToken)
}

// proof returns a proof for a server whose nonces go by origin.
func (d *DPoP) proof(origin, method, url, accessToken string) (string, error) {
	if err := d.Validate(); err != nil {
		return "", err
	}
	p := d.prover
	claims := struct {
		ID       string `json:"jti"`
		Method   string `json:"htm"`
		Target   string `json:"htu"`
		IssuedAt int64  `json:"iat"`
		Token    string `json:"ath,omitempty"`
		Nonce    string `json:"nonce,omitempty"`
	}{ID: rand.Text(), Method: method, Target: targetOf(url), IssuedAt: time.Now().Unix(), Nonce: p.nonces.of(origin)}
	if accessToken != "" {
		hash := sha256.Sum256([]byte(accessToken))
		claims.Token = encode(hash[:])
	}
	proof, err := p.sign(claims)
	if err != nil {
		return "", &credentialError{"DPoP proof", safe(err), err}
	}
	return proof, nil
}

// learn takes down a nonce of a server, which is to be in the proofs for it from
// now on, and reports whether there was one.
func (d *DPoP) learn(origin, nonce string) bool {
	return d.Validate() == nil && d.prover.nonces.set(origin, nonce)
}

// Format implements [fmt.Formatter], without the key, whatever the verb.
func (d DPoP) Format(f fmt.State, _ rune) {
	name := "invalid"
	if d.Validate() == nil {
		name = d.prover.name
	}
	_, _ = io.WriteString(f, "auth.DPoP("+name+")")
}

// targetOf returns a URL without query and fragment, in the one way to write its
// origin (RFC 9449, section 4.2).
func targetOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	origin := u.Scheme + "://" + u.Host
	return cmp.Or(normalOrigin(origin), origin) + cmp.Or(u.EscapedPath(), "/")
}

// originOf returns the origin of a URL.
func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return normalOrigin(u.Scheme + "://" + u.Host)
}
