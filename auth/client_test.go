package auth_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// sourcesOf returns a source of each kind with as, authenticated by one of the
// functions.
func sourcesOf(as *server, assertion, secretFrom func(context.Context) (string, error)) map[string]auth.Source {
	refresh, credentials := as.refreshToken(), as.clientCredentials()
	refresh.ClientSecret, credentials.ClientSecret = "", ""
	refresh.Assertion, credentials.Assertion = assertion, assertion
	refresh.SecretFrom, credentials.SecretFrom = secretFrom, secretFrom
	return map[string]auth.Source{"refresh_token": refresh, "client_credentials": credentials}
}

// counted returns a function that returns name1, name2, and so on.
func counted(name string) func(context.Context) (string, error) {
	n := 0
	return func(context.Context) (string, error) {
		n++
		return fmt.Sprint(name, n), nil
	}
}

func TestAuth39NewAssertionForEveryTokenRequest(t *testing.T) {
	for kind := range sourcesOf(&server{}, nil, nil) {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					if n == 1 {
						return 503, ""
					}
					return 0, ""
				}}
				p := auth.New(auth.Config{Source: sourcesOf(as, counted("statement"), nil)[kind]})
				rs := &api{refuses: refuse("AT2")}
				_ = p.Do(t.Context(), testCall, rs.do)
				time.Sleep(time.Minute)
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Fatal(err)
				}
				if got := as.count(); got != 3 {
					t.Fatalf("%d token requests, want 3: one that fails, the next, and one after 401", got)
				}
				for n := 1; n <= 3; n++ {
					form := as.form(n)
					if got, want := form.Get("client_assertion"), fmt.Sprint("statement", n); got != want {
						t.Errorf("request %d: client_assertion %q, want %q", n, got, want)
					}
					if got, want := form.Get("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"; got != want {
						t.Errorf("request %d: client_assertion_type %q, want %q", n, got, want)
					}
					if form.Get("client_id") != "client" || form.Has("client_secret") || as.requests[n-1].Header.Get("Authorization") != "" {
						t.Errorf("request %d: form %v with header %v, want the identifier, and no other way to authenticate", n, form, as.requests[n-1].Header)
					}
				}
			})
		})
	}
}

func TestAuth39PrivateKeyJWT(t *testing.T) {
	for name, key := range newKeys(t) {
		t.Run(name, func(t *testing.T) {
			j := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: key, KeyID: "key-1"}
			if err := j.Validate(); err != nil {
				t.Fatal(err)
			}
			ids := make(map[any]bool)
			for range 20 { // some signatures begin with zeros
				assertion, err := j.Assertion(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, err := parseJWS(assertion)
				if err != nil {
					t.Fatalf("%v in %q", err, assertion)
				}
				if err := got.verify(key.Public()); err != nil {
					t.Fatal(err)
				}
				if got.header["typ"] != "JWT" || got.header["kid"] != "key-1" || len(got.header) != 3 {
					t.Errorf("header %v, want alg, typ and kid", got.header)
				}
				c := got.claims
				if c["iss"] != "orders" || c["sub"] != "orders" || c["aud"] != tokenURL || len(c) != 6 {
					t.Errorf("claims %v, want the client and the audience", c)
				}
				issued, _ := c["iat"].(float64)
				expires, _ := c["exp"].(float64)
				if age := time.Since(time.Unix(int64(issued), 0)); age < 0 || age > time.Minute || expires-issued != 60 {
					t.Errorf("issued %v ago, valid for %v s, want just now and 60 s", age, expires-issued)
				}
				if id, _ := c["jti"].(string); len(id) < 20 || ids[id] {
					t.Errorf("jti %q, want a new one of at least 20 characters", id)
				}
				ids[c["jti"]] = true
			}
		})
	}
}

func TestAuth39PrivateKeyJWTWithoutKeyID(t *testing.T) {
	assertion, err := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: newKey(t, elliptic.P256())}.Assertion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if j, err := parseJWS(assertion); err != nil || len(j.header) != 2 {
		t.Errorf("header %v (%v), want alg and typ only", j.header, err)
	}
}

// A signer is a foreign key.
type signer struct {
	public    crypto.PublicKey
	signature []byte
	err       error
}

func (s signer) Public() crypto.PublicKey { return s.public }

func (s signer) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.signature, s.err
}

func TestAuth39InvalidPrivateKeyJWT(t *testing.T) {
	small := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2046), E: 65537} // 2047 bits
	good := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: newKey(t, elliptic.P256())}
	change := func(change func(*auth.PrivateKeyJWT)) auth.PrivateKeyJWT {
		j := good
		change(&j)
		return j
	}
	withKey := func(key crypto.Signer) auth.PrivateKeyJWT {
		return change(func(j *auth.PrivateKeyJWT) { j.Key = key })
	}
	tests := map[string]struct {
		jwt  auth.PrivateKeyJWT
		want string
	}{
		"no client":           {change(func(j *auth.PrivateKeyJWT) { j.ClientID = "" }), "invalid ClientID"},
		"no audience":         {change(func(j *auth.PrivateKeyJWT) { j.Audience = "" }), "invalid Audience"},
		"no key":              {withKey(nil), "invalid Key nil"},
		"nil pointer":         {withKey((*ecdsa.PrivateKey)(nil)), "invalid Key nil"},
		"nil RSA":             {withKey((*rsa.PrivateKey)(nil)), "invalid Key nil"},
		"zero ECDSA":          {withKey(&ecdsa.PrivateKey{}), "invalid Key of type *ecdsa.PrivateKey"},
		"zero RSA":            {withKey(&rsa.PrivateKey{}), "at least 2048 bits"},
		"empty Ed25519":       {withKey(ed25519.PrivateKey(nil)), "invalid Key of 0 bytes"},
		"curve":               {withKey(newKey(t, elliptic.P224())), "want ECDSA on P-256"},
		"small RSA":           {withKey(signer{public: small}), "at least 2048 bits"},
		"of no known kind":    {withKey(signer{public: "CANARY"}), "invalid Key of type auth_test.signer"},
		"of no kind whatever": {withKey(signer{}), "invalid Key of type auth_test.signer"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.jwt.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) || policy.ClassOf(err) != policy.Permanent {
				t.Errorf("Validate() = %v of class %v, want a permanent one with %q", err, policy.ClassOf(err), tt.want)
			}
			if assertion, err := tt.jwt.Assertion(t.Context()); err == nil || assertion != "" {
				t.Errorf("Assertion() = %q, %v, want an error", assertion, err)
			}
			as := &server{}
			err = auth.New(auth.Config{Source: sourcesOf(as, tt.jwt.Assertion, nil)["refresh_token"]}).Do(t.Context(), testCall, succeed)
			if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected || !strings.Contains(err.Error(), tt.want) || as.count() != 0 {
				t.Errorf("Do() = %v with %d token requests, want one with %q and none", err, as.count(), tt.want)
			}
			isClean(t, "error", err)
		})
	}
}

// Signatures of foreign signers are not taken for granted.
func TestAuth39InvalidSignatures(t *testing.T) {
	der := func(r, s *big.Int) []byte {
		data, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one, huge := big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 256)
	for name, signature := range map[string][]byte{
		"none": nil, "garbage": []byte("CANARY"), "trailing": append(der(one, one), 0), "zero": der(one, new(big.Int)),
		"negative": der(big.NewInt(-1), one), "too large": der(huge, one),
	} {
		j := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: signer{newKey(t, elliptic.P256()).Public(), signature, nil}}
		if assertion, err := j.Assertion(t.Context()); err == nil || !strings.Contains(err.Error(), "invalid signature") {
			t.Errorf("%s: Assertion() = %q, %v, want an error", name, assertion, err)
		}
	}
}

// What a credential function fails with is not told, but found. Its class
// counts.
func TestAuth39And40FunctionsThatFail(t *testing.T) {
	sealed := errors.New("CANARY")
	tests := map[string]struct {
		err  error
		want policy.Class
		told string
	}{
		"passes":            {sealed, policy.Throttled, "an error of type *errors.errorString"},
		"permanent":         {policy.WithClass(sealed, policy.Permanent), policy.Rejected, "an error of type"},
		"unavailable":       {&url.Error{Op: "Get", URL: "https://u:CANARY@vault.example/?CANARY", Err: sealed}, policy.Throttled, "no usable answer"},
		"refused elsewhere": {&oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, Body: []byte("CANARY"), ErrorCode: "invalid_grant"}, policy.Rejected, "no usable answer"},
		"timeout":           {context.DeadlineExceeded, policy.Throttled, "deadline exceeded"},
		"nothing":           {nil, policy.Rejected, `want one, got ""`},
	}
	for name, tt := range tests {
		for what, source := range map[string]func(as *server, fail func(context.Context) (string, error)) map[string]auth.Source{
			"client assertion": func(as *server, fail func(context.Context) (string, error)) map[string]auth.Source {
				return sourcesOf(as, fail, nil)
			},
			"client secret": func(as *server, fail func(context.Context) (string, error)) map[string]auth.Source {
				return sourcesOf(as, nil, fail)
			},
		} {
			for kind := range sourcesOf(&server{}, nil, nil) {
				t.Run(name+", "+what+", "+kind, func(t *testing.T) {
					as, said := &server{}, &transcript{}
					fail := func(context.Context) (string, error) { return "", tt.err }
					err := auth.New(auth.Config{Source: source(as, fail)[kind]}).Do(t.Context(), testCall.WithRecorder(said), succeed)
					e, ok := errors.AsType[*auth.AuthError](err)
					if !ok || policy.ClassOf(err) != tt.want || e.ErrorCode != "" || errors.Is(err, auth.ErrReauthRequired) || as.count() != 0 {
						t.Errorf("Do() = %v of class %v with %d token requests, want class %v without any", err, policy.ClassOf(err), as.count(), tt.want)
					}
					if got := err.Error(); !strings.Contains(got, what+": ") || !strings.Contains(got, tt.told) {
						t.Errorf("Do() = %v, want one that tells %q of the %s", err, tt.told, what)
					}
					if got, want := errors.Is(err, sealed), errors.Is(tt.err, sealed) && !errors.As(tt.err, new(*url.Error)); got != want {
						t.Errorf("it wraps the function's error: %v, want %v", got, want)
					}
					if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err)+said.String(), "CANARY") {
						t.Errorf("Do() = %#v and says %s, want no secrets", err, said)
					}
				})
			}
		}
	}
}

func TestAuth25SecretIsReadAgain(t *testing.T) {
	const notKnown = `{"error":"invalid_client","error_description":"CANARY"}`
	tests := map[string]struct {
		secrets []string // "" fails; the last one remains
		known   string   // to the server
		code    string   // of a refusal; default: invalid_client
		want    string   // secrets of the requests
	}{
		"known":                     {[]string{"CANARY-1"}, "CANARY-1", "", "CANARY-1"},
		"replaced":                  {[]string{"CANARY-1", "CANARY-2"}, "CANARY-2", "", "CANARY-1 CANARY-2"},
		"the same":                  {[]string{"CANARY-1", "CANARY-1"}, "CANARY-2", "", "CANARY-1"},
		"not known, nor the other":  {[]string{"CANARY-1", "CANARY-2", "CANARY-3"}, "CANARY-3", "", "CANARY-1 CANARY-2"},
		"cannot be read again":      {[]string{"CANARY-1", "", "CANARY-1"}, "CANARY-2", "", "CANARY-1"},
		"refused for other reasons": {[]string{"CANARY-1", "CANARY-2"}, "CANARY-2", "invalid_scope", "CANARY-1"},
	}
	for name, tt := range tests {
		for kind := range sourcesOf(&server{}, nil, nil) {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					as := &server{}
					as.answer = func(n int, _ url.Values) (int, string) {
						switch _, secret, _ := as.request(n).BasicAuth(); {
						case secret == tt.known:
							return 0, ""
						case tt.code != "":
							return 400, fmt.Sprintf(`{"error":%q}`, tt.code)
						}
						return 401, notKnown
					}
					reads := 0
					read := func(context.Context) (string, error) {
						secret := tt.secrets[min(reads, len(tt.secrets)-1)]
						if reads++; secret == "" {
							return "", errors.New("CANARY")
						}
						return secret, nil
					}
					p := auth.New(auth.Config{Source: sourcesOf(as, nil, read)[kind]})
					err := p.Do(t.Context(), testCall, succeed)
					var sent []string
					for n := range as.count() {
						_, secret, _ := as.request(n + 1).BasicAuth()
						sent = append(sent, secret)
					}
					if got := strings.Join(sent, " "); got != tt.want {
						t.Errorf("secrets %q, want %q", got, tt.want)
					}
					if strings.HasSuffix(tt.want, tt.known) {
						if err != nil {
							t.Errorf("Do() = %v, want nil", err)
						}
						return
					}
					e, ok := errors.AsType[*auth.AuthError](err)
					if want := cmp.Or(tt.code, "invalid_client"); !ok || e.ErrorCode != want || policy.ClassOf(err) != policy.Rejected {
						t.Errorf("Do() = %v, want a rejected call for %s", err, want)
					}
					isClean(t, "error", err)

					// A configuration error stands for a minute, whatever could be read.
					had := as.count()
					time.Sleep(59 * time.Second)
					_ = p.Do(t.Context(), testCall, succeed)
					if got := as.count(); got != had {
						t.Errorf("%d token requests within a minute, want %d", got, had)
					}
					time.Sleep(2 * time.Second)
					_ = p.Do(t.Context(), testCall, succeed)
					if got := as.count(); got == had {
						t.Error("no token request after a minute, want one")
					}
				})
			})
		}
	}
}

// A panic of a credential function costs nobody more than the token.
func TestAuth07AssertionPanics(t *testing.T) {
	n := 0
	assertion := func(context.Context) (string, error) {
		if n++; n == 1 {
			panic("CANARY")
		}
		return "statement", nil
	}
	p := auth.New(auth.Config{Source: sourcesOf(&server{}, assertion, nil)["refresh_token"]})
	err := p.Do(t.Context(), testCall, succeed)
	if !errors.Is(err, auth.ErrTokenUnavailable) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("Do() = %v, want ErrTokenUnavailable", err)
	}
	if err := p.Do(t.Context(), testCall, succeed); err != nil {
		t.Errorf("then Do() = %v, want nil", err)
	}
}

func TestAuth40PrivateKeyJWT(t *testing.T) {
	seed := bytes.Repeat([]byte("CANARY!!"), 4)
	j := auth.PrivateKeyJWT{ClientID: "orders", Audience: "https://u:CANARY@login.example.com", Key: ed25519.NewKeyFromSeed(seed)}
	decimal := strings.Trim(fmt.Sprintf("%d", seed[:6]), "[]")
	for what, v := range map[string]any{
		"value": j, "pointer": &j, "in a struct": struct{ J auth.PrivateKeyJWT }{j},
		"in a source": auth.RefreshToken{Assertion: j.Assertion}, "in a config": auth.Config{Source: auth.RefreshToken{Assertion: j.Assertion}},
	} {
		isClean(t, what, v)
		for way, text := range prints(v) {
			if strings.Contains(text, decimal) {
				t.Errorf("%s printed by %s shows the key: %s", what, way, text)
			}
		}
	}
	if got := fmt.Sprintf("%+v", j); !strings.Contains(got, "orders") || !strings.Contains(got, "[redacted]") {
		t.Errorf("it prints as %s, want what is not secret", got)
	}

	j = auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: signer{newKey(t, elliptic.P256()).Public(), nil, errors.New("CANARY")}}
	err := auth.New(auth.Config{Source: sourcesOf(&server{}, j.Assertion, nil)["refresh_token"]}).Do(t.Context(), testCall, succeed)
	if !errors.Is(err, auth.ErrTokenUnavailable) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("Do() = %v, want ErrTokenUnavailable without the text of a foreign error", err)
	}
}

func BenchmarkPrivateKeyJWT(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	j := auth.PrivateKeyJWT{ClientID: "orders", Audience: tokenURL, Key: key}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Assertion(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
