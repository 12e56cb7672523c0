package auth_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// A jws is a JSON Web Signature, taken apart.
type jws struct {
	header, claims map[string]any
	message        string // what is signed
	signature      []byte
}

func parseJWS(s string) (jws, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return jws{}, fmt.Errorf("%d parts, want 3", len(parts))
	}
	j := jws{message: parts[0] + "." + parts[1]}
	var data [3][]byte
	for i, part := range parts {
		var err error
		if data[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			return jws{}, err
		}
	}
	j.signature = data[2]
	return j, errors.Join(json.Unmarshal(data[0], &j.header), json.Unmarshal(data[1], &j.claims))
}

// verify checks the signature, which must be by the algorithm that goes with key
// and that the header names.
func (j jws) verify(key crypto.PublicKey) error {
	var want string
	var ok bool
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		want = map[int]string{32: "ES256", 48: "ES384", 66: "ES512"}[size]
		hash := map[int]crypto.Hash{32: crypto.SHA256, 48: crypto.SHA384, 66: crypto.SHA512}[size]
		r, s := new(big.Int), new(big.Int)
		if len(j.signature) == 2*size {
			r.SetBytes(j.signature[:size])
			s.SetBytes(j.signature[size:])
		}
		ok = ecdsa.Verify(key, j.digest(hash), r, s)
	case *rsa.PublicKey:
		want = "RS256"
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, j.digest(crypto.SHA256), j.signature) == nil
	case ed25519.PublicKey:
		want = "EdDSA"
		ok = ed25519.Verify(key, []byte(j.message), j.signature)
	}
	if !ok || j.header["alg"] != want {
		return fmt.Errorf("invalid signature by %v: want one by %s", j.header["alg"], want)
	}
	return nil
}

func (j jws) digest(hash crypto.Hash) []byte {
	h := hash.New()
	h.Write([]byte(j.message))
	return h.Sum(nil)
}

// newKeys returns a key for each algorithm.
func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := make(map[string]crypto.Signer)
	for name, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		keys[name] = newKey(t, curve)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["EdDSA"] = edwards
	if keys["RS256"], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	return keys
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The verifier of the tests takes the example of RFC 7515, appendix A.3, and
// nothing that differs from it.
func TestVerifierOfTheTests(t *testing.T) {
	const example = "eyJhbGciOiJFUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	point := []byte{4}
	for _, coordinate := range []string{"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"} {
		data, err := base64.RawURLEncoding.DecodeString(coordinate)
		if err != nil {
			t.Fatal(err)
		}
		point = append(point, data...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseJWS(example)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.verify(key); err != nil {
		t.Error(err)
	}
	j.signature = bytes.Clone(j.signature)
	j.signature[0] ^= 1
	if err := j.verify(key); err == nil {
		t.Error("another signature is verified, want an error")
	}
}
