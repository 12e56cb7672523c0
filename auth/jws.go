package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.SHA256
	_ "crypto/sha512" // for crypto.SHA384 and crypto.SHA512
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// An algorithm is a way to sign (RFC 7518, section 3.1, and RFC 8037, section
// 3.1).
type algorithm struct {
	name string
	hash crypto.Hash // 0 if the message is signed as it is
	size int         // of each half of an ECDSA signature; otherwise 0
}

// algorithmOf returns the algorithm that key signs by. There is one for each
// kind of key.
func algorithmOf(key crypto.Signer) (algorithm, error) {
	if isNil(key) {
		return algorithm{}, setupError("invalid Key nil: want a private key")
	}
	if k, ok := key.(ed25519.PrivateKey); ok && len(k) != ed25519.PrivateKeySize {
		return algorithm{}, setupError(fmt.Sprintf("invalid Key of %d bytes: want %d for Ed25519", len(k), ed25519.PrivateKeySize))
	}
	switch k := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return algorithm{"ES256", crypto.SHA256, 32}, nil
		case elliptic.P384():
			return algorithm{"ES384", crypto.SHA384, 48}, nil
		case elliptic.P521():
			return algorithm{"ES512", crypto.SHA512, 66}, nil
		}
	case *rsa.PublicKey:
		if k.N == nil || k.N.BitLen() < 2048 {
			return algorithm{}, setupError("invalid Key: want at least 2048 bits for RSA")
		}
		return algorithm{"RS256", crypto.SHA256, 0}, nil
	case ed25519.PublicKey:
		return algorithm{"EdDSA", 0, 0}, nil
	}
	return algorithm{}, setupError(fmt.Sprintf("invalid Key of type %T: want ECDSA on P-256, P-384 or P-521, RSA, or Ed25519", key))
}

// sign returns a JSON Web Signature in its compact serialization (RFC 7515,
// section 7.1).
func (a algorithm) sign(key crypto.Signer, header, claims any) (string, error) {
	message := segment(header) + "." + segment(claims)
	digest := []byte(message)
	if a.hash != 0 {
		h := a.hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, digest, a.hash)
	if err == nil && a.size > 0 {
		signature, err = a.raw(signature)
	}
	if err != nil {
		return "", err
	}
	return message + "." + encode(signature), nil
}

// raw returns an ECDSA signature as R and S side by side (RFC 7518, section
// 3.4), and not in ASN.1 as package crypto has it.
func (a algorithm) raw(der []byte) ([]byte, error) {
	var sig struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &sig); err != nil || len(rest) > 0 {
		return nil, errSignature
	}
	for _, n := range []*big.Int{sig.R, sig.S} {
		if n.Sign() <= 0 || n.BitLen() > 8*a.size {
			return nil, errSignature
		}
	}
	raw := make([]byte, 2*a.size)
	sig.R.FillBytes(raw[:a.size])
	sig.S.FillBytes(raw[a.size:])
	return raw, nil
}

const errSignature = setupError("invalid signature of Key: want one of its public key's algorithm")

// jwkOf returns a public key, of a kind that there is an algorithm for, as JSON Web
// Key (RFC 7518, section 6, and RFC 8037, section 2).
func jwkOf(key crypto.PublicKey) (map[string]string, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes() // 4, x, y
		if err != nil {
			return nil, setupError("invalid Key: want a point on its curve")
		}
		size := len(point) / 2
		return map[string]string{"kty": "EC", "crv": k.Params().Name, "x": encode(point[1 : 1+size]), "y": encode(point[1+size:])}, nil
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}, nil
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(k)}, nil
	}
	return nil, setupError(fmt.Sprintf("invalid Key with a public key of type %T", key))
}

// segment returns v as a part of a signature. It is for values that can be
// marshalled.
func segment(v any) string {
	text, _ := json.Marshal(v)
	return encode(text)
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
