package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// A bound server wants a proof with every request, of the given key, and checks
// it as RFC 9449, section 4.3, says. It writes down what it answers.
type boundServer struct {
	*httptest.Server
	t   *testing.T
	key crypto.PublicKey

	mu    sync.Mutex
	nonce string // wanted in proofs; "" if none
	ids   map[string]bool
	log   []string
}

// serveBound starts a server whose handler gets the access token, and whether the
// proof has the nonce that is wanted.
func serveBound(t *testing.T, key crypto.PublicKey, handle func(s *boundServer, w http.ResponseWriter, r *http.Request, token string, nonce bool)) *boundServer {
	t.Helper()
	s := &boundServer{t: t, key: key, ids: make(map[string]bool)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := ""
		if r.URL.Path != "/token" {
			scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if token = value; scheme != "DPoP" {
				t.Errorf("%s %s with the scheme %q, want DPoP", r.Method, r.URL, scheme)
			}
		}
		nonce, err := s.check(r, token)
		if err != nil {
			t.Errorf("%s %s: proof: %v", r.Method, r.URL, err)
		}
		handle(s, w, r, token, nonce)
	}))
	t.Cleanup(s.Close)
	return s
}

// check checks a proof and reports whether it has the nonce that is wanted.
func (s *boundServer) check(r *http.Request, token string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	proofs := r.Header.Values("Dpop")
	if len(proofs) != 1 {
		return false, fmt.Errorf("%d headers, want 1", len(proofs))
	}
	j, err := parseJWS(proofs[0])
	if err != nil {
		return false, err
	}
	jwk, _ := j.header["jwk"].(map[string]any)
	if j.header["typ"] != "dpop+jwt" || len(j.header) != 3 || jwk["d"] != nil {
		return false, fmt.Errorf("header %v, want typ, alg and a public jwk", j.header)
	}
	key, err := publicKey(jwk)
	if err != nil {
		return false, err
	}
	if !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(s.key) {
		return false, errors.New("another key than that of the client")
	}
	if err := j.verify(key); err != nil {
		return false, err
	}
	if want := "http://" + r.Host + r.URL.EscapedPath(); j.claims["htm"] != r.Method || j.claims["htu"] != want {
		return false, fmt.Errorf("for %v %v, want %v %v", j.claims["htm"], j.claims["htu"], r.Method, want)
	}
	issued, _ := j.claims["iat"].(float64)
	if age := time.Since(time.Unix(int64(issued), 0)); age < 0 || age > time.Minute {
		return false, fmt.Errorf("issued %v ago, want just now", age)
	}
	id, _ := j.claims["jti"].(string)
	if len(id) < 20 || s.ids[id] {
		return false, fmt.Errorf("jti %q, want a new one", id)
	}
	s.ids[id] = true
	var ath any
	if token != "" {
		hash := sha256.Sum256([]byte(token))
		ath = base64.RawURLEncoding.EncodeToString(hash[:])
	}
	if j.claims["ath"] != ath {
		return false, fmt.Errorf("ath %v, want %v", j.claims["ath"], ath)
	}
	return s.nonce == "" || j.claims["nonce"] == s.nonce, nil
}

func publicKey(jwk map[string]any) (crypto.PublicKey, error) {
	member := func(name string) []byte {
		text, _ := jwk[name].(string)
		data, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return nil
		}
		return data
	}
	curves := map[any]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	switch curve := curves[jwk["crv"]]; {
	case jwk["kty"] == "EC" && curve != nil:
		return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, member("x"), member("y")))
	case jwk["kty"] == "RSA":
		return &rsa.PublicKey{N: new(big.Int).SetBytes(member("n")), E: int(new(big.Int).SetBytes(member("e")).Int64())}, nil
	case jwk["kty"] == "OKP" && jwk["crv"] == "Ed25519":
		return ed25519.PublicKey(member("x")), nil
	}
	return nil, fmt.Errorf("unknown key %v", jwk)
}

func (s *boundServer) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// said returns what s has answered since it was asked last.
func (s *boundServer) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := strings.Join(s.log, ", ")
	s.log = nil
	return said
}

func (s *boundServer) want(nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nonce = nonce
}

func (s *boundServer) wanted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nonce
}

// refuse answers an API's request.
func (s *boundServer) refuse(w http.ResponseWriter, code string) {
	s.note("%s", code)
	if code == "use_dpop_nonce" {
		w.Header().Set("Dpop-Nonce", s.wanted())
	}
	w.Header().Add("Www-Authenticate", `Bearer realm="orders"`)
	w.Header().Add("Www-Authenticate", fmt.Sprintf(`DPoP realm="orders", error=%q, algs="ES256"`, code))
	w.WriteHeader(http.StatusUnauthorized)
}

// newLogins starts a token endpoint whose tokens are AT1, AT2, and so on, bound to
// key.
func newLogins(t *testing.T, key crypto.PublicKey) *boundServer {
	n := 0
	return serveBound(t, key, func(s *boundServer, w http.ResponseWriter, r *http.Request, _ string, nonce bool) {
		w.Header().Set("Content-Type", "application/json")
		if !nonce {
			s.note("use_dpop_nonce %s", r.FormValue("refresh_token"))
			w.Header().Set("Dpop-Nonce", s.wanted())
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"use_dpop_nonce","error_description":"CANARY"}`)
			return
		}
		n++
		s.note("%s", r.FormValue("refresh_token"))
		if nonce := s.wanted(); nonce != "" { // a new one with every token
			s.want(nonce + "'")
			w.Header().Set("Dpop-Nonce", nonce+"'")
		}
		_, _ = fmt.Fprintf(w, `{"access_token":"AT%d","token_type":"DPoP","expires_in":3600,"refresh_token":"RT%d"}`, n, n+1)
	})
}

// newBoundAPI starts an API that refuses the given tokens, before it looks at the
// nonce if so said.
func newBoundAPI(t *testing.T, key crypto.PublicKey, tokenFirst bool, tokens ...string) *boundServer {
	return serveBound(t, key, func(s *boundServer, w http.ResponseWriter, r *http.Request, token string, nonce bool) {
		refused := slices.Contains(tokens, token)
		switch {
		case r.URL.Path == "/redirect":
			http.Redirect(w, r, "/end?q=1", http.StatusFound)
		case refused && (tokenFirst || nonce):
			s.refuse(w, "invalid_token")
		case !nonce:
			s.refuse(w, "use_dpop_nonce")
		default:
			body, _ := io.ReadAll(r.Body)
			s.note("%s", token+string(body))
		}
	})
}

// boundClient returns a client whose requests pass through auth with a DPoP, and
// the policies inside of it.
func boundClient(t *testing.T, as *boundServer, d *auth.DPoP, inner ...policy.Policy) *http.Client {
	t.Helper()
	source := auth.RefreshToken{TokenURL: as.URL + "/token", ClientID: "client", RefreshToken: "RT1", DPoP: d}
	p, err := pipeline.New("api", append([]policy.Policy{auth.New(auth.Config{Source: source, DPoP: d})}, inner...)...)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: p.Transport(base)}
}

func send(t *testing.T, client *http.Client, method, url string, body io.Reader) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	return response.StatusCode
}

func TestAuth36DPoP(t *testing.T) {
	for name, key := range newKeys(t) {
		t.Run(name, func(t *testing.T) {
			as := newLogins(t, key.Public())
			rs := newBoundAPI(t, key.Public(), false, "AT1")
			client := boundClient(t, as, auth.NewDPoP(key))
			for _, url := range []string{rs.URL, rs.URL + "/a%2Fb/?q=1#part", strings.ToUpper(rs.URL[:4]) + rs.URL[4:] + "/x"} {
				if got := send(t, client, "GET", url, nil); got != 200 {
					t.Errorf("%s: %d, want 200", url, got)
				}
			}
			send(t, client, "DELETE", rs.URL, nil)
			if got, want := rs.said(), "invalid_token, AT2, AT2, AT2, AT2"; got != want {
				t.Errorf("the API said %q, want %q", got, want)
			}
			if got, want := as.said(), "RT1, RT2"; got != want {
				t.Errorf("tokens for %q, want %q", got, want)
			}
		})
	}
}

func TestAuth36DPoPMakesAKey(t *testing.T) {
	d := auth.NewDPoP(nil)
	proof, err := d.Proof("GET", "https://user:CANARY@API.example.com:443?q=CANARY#CANARY", "")
	if err != nil {
		t.Fatal(err)
	}
	j, err := parseJWS(proof)
	if err != nil {
		t.Fatal(err)
	}
	jwk, _ := j.header["jwk"].(map[string]any)
	key, err := publicKey(jwk)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.verify(key); err != nil || j.header["alg"] != "ES256" {
		t.Errorf("proof by %v: %v, want ES256", j.header["alg"], err)
	}
	if got, want := j.claims["htu"], "https://api.example.com/"; got != want {
		t.Errorf("htu %q, want %q", got, want)
	}
	if _, ok := j.claims["ath"]; ok || j.claims["nonce"] != nil {
		t.Errorf("claims %v, want no token and no nonce", j.claims)
	}
}

func TestAuth36EveryAttemptHasItsOwnProof(t *testing.T) {
	again := retry.New(retry.Config{MaxAttempts: 3, InitialInterval: 1, MaxInterval: time.Millisecond})
	key := newKey(t, elliptic.P256())
	d := auth.NewDPoP(key)
	for name, build := range map[string]func(a *auth.Policy) []policy.Policy{
		"retry inside":  func(a *auth.Policy) []policy.Policy { return []policy.Policy{a, again} },
		"retry outside": func(a *auth.Policy) []policy.Policy { return []policy.Policy{again, a} },
	} {
		t.Run(name, func(t *testing.T) {
			as := newLogins(t, key.Public())
			n := 0
			rs := serveBound(t, key.Public(), func(s *boundServer, w http.ResponseWriter, _ *http.Request, token string, _ bool) {
				s.note("%s", token) // its proofs are new, or the check complains
				if n++; n < 3 {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			a := auth.New(auth.Config{Source: auth.RefreshToken{TokenURL: as.URL + "/token", ClientID: "client", RefreshToken: "RT1", DPoP: d}, DPoP: d})
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			client := &http.Client{Transport: pipeline.Must(pipeline.New("api", build(a)...)).Transport(base)}
			if got := send(t, client, "GET", rs.URL, nil); got != 200 || rs.said() != "AT1, AT1, AT1" {
				t.Errorf("got %d, want 200 at the third attempt", got)
			}
		})
	}
}

func TestAuth22Nonce(t *testing.T) {
	tests := map[string]struct {
		tokenFirst bool // whether the token is checked before the nonce
		refused    []string
		want       string
		wantTokens string
	}{
		"with a good token":            {false, nil, "use_dpop_nonce, AT1", "RT1"},
		"then the token is refused":    {false, []string{"AT1"}, "use_dpop_nonce, invalid_token, AT2", "RT1, RT2"},
		"after the token was refused":  {true, []string{"AT1"}, "invalid_token, use_dpop_nonce, AT2", "RT1, RT2"},
		"and all tokens are refused":   {false, []string{"AT1", "AT2"}, "use_dpop_nonce, invalid_token, invalid_token", "RT1, RT2"},
		"and all are refused at first": {true, []string{"AT1", "AT2"}, "invalid_token, invalid_token", "RT1, RT2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			key := newKey(t, elliptic.P256())
			as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), tt.tokenFirst, tt.refused...)
			rs.want("nonce")
			send(t, boundClient(t, as, auth.NewDPoP(key)), "GET", rs.URL, nil)
			if got := rs.said(); got != tt.want {
				t.Errorf("the API said %q, want %q", got, tt.want)
			}
			if got := as.said(); got != tt.wantTokens {
				t.Errorf("tokens for %q, want %q", got, tt.wantTokens)
			}
		})
	}
}

// A nonce is used until the server wants another one.
func TestAuth22NonceIsRemembered(t *testing.T) {
	key := newKey(t, elliptic.P256())
	as, one, other := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false), newBoundAPI(t, key.Public(), false)
	client := boundClient(t, as, auth.NewDPoP(key))
	for _, step := range []struct {
		rs    *boundServer
		nonce string
		want  string
	}{
		{one, "n1", "use_dpop_nonce, AT1"},
		{one, "n1", "AT1"},
		{other, "n2", "use_dpop_nonce, AT1"}, // of another origin
		{one, "n1", "AT1"},
		{one, "n3", "use_dpop_nonce, AT1"}, // rotated
		{one, "n3", "AT1"},
		{other, "n2", "AT1"},
		{one, "", "AT1"},
	} {
		step.rs.want(step.nonce)
		send(t, client, "GET", step.rs.URL, nil)
		if got := step.rs.said(); got != step.want {
			t.Errorf("the API that wants %q said %q, want %q", step.nonce, got, step.want)
		}
	}
	if got := as.said(); got != "RT1" {
		t.Errorf("tokens for %q, want RT1 only", got)
	}
}

// A server that is never content costs one request more, and no token.
func TestAuth22ServersThatAlwaysWantAnotherNonce(t *testing.T) {
	tests := map[string]struct {
		nonce func(n int) string
		want  int // requests for each call
	}{
		"always a new one": {func(n int) string { return fmt.Sprint("nonce", n) }, 2},
		"always the same":  {func(int) string { return "nonce" }, 2},
		"none":             {func(int) string { return "" }, 1},
		"an invalid one":   {func(int) string { return `a"b` }, 1},
		"a huge one":       {func(int) string { return strings.Repeat("x", 2000) }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			key := newKey(t, elliptic.P256())
			n := 0
			as := newLogins(t, key.Public())
			rs := serveBound(t, key.Public(), func(s *boundServer, w http.ResponseWriter, _ *http.Request, _ string, _ bool) {
				n++
				s.want(tt.nonce(n))
				s.refuse(w, "use_dpop_nonce")
			})
			client := boundClient(t, as, auth.NewDPoP(key))
			for range 3 {
				n = 0
				if got := send(t, client, "GET", rs.URL, nil); got != 401 || n != tt.want {
					t.Errorf("got %d after %d requests, want 401 after %d", got, n, tt.want)
				}
			}
			if got := as.said(); got != "RT1" {
				t.Errorf("tokens for %q, want RT1 only", got)
			}
		})
	}
}

func TestAuth22Bodies(t *testing.T) {
	key := newKey(t, elliptic.P256())
	as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false)
	client := boundClient(t, as, auth.NewDPoP(key))
	rs.want("n1")
	if got := send(t, client, "POST", rs.URL, strings.NewReader("+body")); got != 200 || rs.said() != "use_dpop_nonce, AT1+body" {
		t.Errorf("got %d, want 200 with the body sent again", got)
	}
	rs.want("n2")
	once := func() io.Reader { return io.MultiReader(strings.NewReader("+once")) }
	if got := send(t, client, "POST", rs.URL, once()); got != 401 || rs.said() != "use_dpop_nonce" {
		t.Errorf("got %d, want the 401 to a body that cannot be sent again", got)
	}
	if got := send(t, client, "POST", rs.URL, once()); got != 200 || rs.said() != "AT1+once" {
		t.Errorf("got %d, want 200, as the nonce was learned", got)
	}
}

// A nonceError is a refusal for want of a nonce.
type nonceError struct {
	refusal
	final bool
}

func (e *nonceError) Header(name string) string {
	return map[string]string{"DPoP-Nonce": "nonce"}[name]
}
func (e *nonceError) Final() bool { return e.final }

// A call is repeated for want of a nonce once, whatever else it is repeated for.
func TestAuth22OneMoreCallAtMost(t *testing.T) {
	nonce := refusal{[]string{`DPoP error="use_dpop_nonce"`}}
	again, final := &nonceError{nonce, false}, &nonceError{nonce, true}
	refused := &refusal{[]string{`DPoP error="invalid_token"`}}
	tests := map[string]struct {
		answers []error
		want    int // calls of next
		tokens  int
	}{
		"nonce":                           {[]error{again, nil}, 2, 1},
		"nonce twice":                     {[]error{again, again, nil}, 2, 1},
		"nonce, token, nonce":             {[]error{again, refused, again, nil}, 3, 2},
		"token, nonce, nonce":             {[]error{refused, again, again, nil}, 3, 2},
		"nonce, token, token":             {[]error{again, refused, refused, nil}, 3, 2},
		"cannot be repeated":              {[]error{final, nil}, 1, 1},
		"of which the nonce is not known": {[]error{&nonce, nil}, 1, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tokens, calls := 0, 0
			bound := source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				tokens++
				return &oauth2.Token{AccessToken: fmt.Sprint("AT", tokens), TokenType: "DPoP"}, nil
			})
			p := auth.New(auth.Config{Source: bound, DPoP: auth.NewDPoP(nil)})
			err := p.Do(t.Context(), testCall, func(context.Context, policy.Call) error {
				calls++
				return tt.answers[calls-1]
			})
			if calls != tt.want || tokens != tt.tokens || !errors.Is(err, tt.answers[tt.want-1]) {
				t.Errorf("Do() = %v after %d calls with %d tokens, want %v after %d with %d", err, calls, tokens, tt.answers[tt.want-1], tt.want, tt.tokens)
			}
		})
	}
}

// Calls that run at the same time while the nonce changes.
func TestAuth22NonceRace(t *testing.T) {
	key := newKey(t, elliptic.P256())
	as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false)
	client := boundClient(t, as, auth.NewDPoP(key))
	for _, nonce := range []string{"n1", "n2"} {
		rs.want(nonce)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				response, err := client.Get(rs.URL)
				if err != nil {
					t.Error(err)
					return
				}
				if read(t, response); response.StatusCode != 200 {
					t.Errorf("got %d, want 200", response.StatusCode)
				}
			})
		}
		wg.Wait()
	}
	if got := as.said(); got != "RT1" {
		t.Errorf("tokens for %q, want RT1 only", got)
	}
}

func TestAuth22NonceOfTheTokenEndpoint(t *testing.T) {
	key := newKey(t, elliptic.P256())
	as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false, "AT1")
	as.want("nonce")
	if got := send(t, boundClient(t, as, auth.NewDPoP(key)), "GET", rs.URL, nil); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
	// The second token request has the nonce that came with the first token.
	if got, want := as.said(), "use_dpop_nonce RT1, RT1, RT2"; got != want {
		t.Errorf("the token endpoint said %q, want %q", got, want)
	}
}

func TestAuth22TokenEndpointThatAlwaysWantsAnotherNonce(t *testing.T) {
	key := newKey(t, elliptic.P256())
	n := 0
	var assertions []string
	as := serveBound(t, key.Public(), func(_ *boundServer, w http.ResponseWriter, r *http.Request, _ string, _ bool) {
		n++
		assertions = append(assertions, r.FormValue("client_assertion"))
		w.Header().Set("Dpop-Nonce", fmt.Sprint("nonce", n))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"use_dpop_nonce"}`)
	})
	d := auth.NewDPoP(key)
	source := auth.RefreshToken{TokenURL: as.URL + "/token", ClientID: "client", RefreshToken: "RT1", DPoP: d, Assertion: counted("statement")}
	err := auth.New(auth.Config{Source: source, DPoP: d}).Do(t.Context(), testCall, succeed)
	e, ok := errors.AsType[*auth.AuthError](err)
	if !ok || n != 2 || e.ErrorCode != "use_dpop_nonce" || policy.ClassOf(err) != policy.Throttled {
		t.Errorf("Do() = %v of class %v after %d requests, want use_dpop_nonce, which may pass, after 2", err, policy.ClassOf(err), n)
	}
	if got, want := strings.Join(assertions, " "), "statement1 statement2"; got != want {
		t.Errorf("assertions %q, want %q, as each is accepted once", got, want)
	}
}

func TestAuth38DPoPAndRedirects(t *testing.T) {
	key := newKey(t, elliptic.P256())
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Dpop")+r.Header.Get("Authorization"))
	}))
	defer other.Close()
	as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false)
	away := serveBound(t, key.Public(), func(_ *boundServer, w http.ResponseWriter, r *http.Request, _ string, _ bool) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	})
	client := boundClient(t, as, auth.NewDPoP(key))
	// The proof for the new URL is checked there.
	if got := send(t, client, "GET", rs.URL+"/redirect", nil); got != 200 || rs.said() != "AT1" {
		t.Errorf("same origin: got %d, want 200", got)
	}
	if got := send(t, client, "GET", away.URL, nil); got != 200 || strings.Join(seen, ",") != "" || len(seen) != 1 {
		t.Errorf("other origin: got %d after %q, want 200 without proof and token", got, seen)
	}
}

func TestAuth37DPoPLeavesCredentialsOfTheCallerAlone(t *testing.T) {
	got := ""
	rs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization") + r.Header.Get("Dpop")
	}))
	defer rs.Close()
	key := newKey(t, elliptic.P256())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer own")
	as := newLogins(t, key.Public())
	response, err := boundClient(t, as, auth.NewDPoP(key)).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	if got != "Bearer own" || as.said() != "" {
		t.Errorf("the API got %q, want only the caller's own, and no token request", got)
	}
}

func TestAuth39TokensThatAreNotBoundAreRefused(t *testing.T) {
	for body, want := range map[string]bool{
		`{"access_token":"AT","token_type":"DPoP"}`:   true,
		`{"access_token":"AT","token_type":"dpop"}`:   true,
		`{"access_token":"AT","token_type":"Bearer"}`: false,
		`{"access_token":"AT"}`:                       false,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}))
		d, rs := auth.NewDPoP(nil), &api{}
		source := auth.ClientCredentials{TokenURL: server.URL, ClientID: "client", DPoP: d, HTTPClient: server.Client()}
		err := auth.New(auth.Config{Source: source, DPoP: d}).Do(t.Context(), testCall, rs.do)
		if (err == nil) != want || !want && (!errors.Is(err, auth.ErrTokenUnavailable) || rs.tokens() != "") {
			t.Errorf("%s: Do() = %v with tokens %q, want a token: %v", body, err, rs.tokens(), want)
		}
		server.Close()
	}
}

func TestAuth36InvalidDPoP(t *testing.T) {
	d := auth.NewDPoP(nil)
	good := (&server{}).refreshToken()
	good.DPoP = d
	inject := func(ctx context.Context, call policy.Call, _ *oauth2.Token) (context.Context, policy.Call) {
		return ctx, call
	}
	withKey := func(key crypto.Signer) auth.Config {
		d, s := auth.NewDPoP(key), good
		s.DPoP = d
		return auth.Config{Source: s, DPoP: d}
	}
	zero := good
	zero.DPoP = &auth.DPoP{}
	tests := map[string]struct {
		config auth.Config
		want   string // "" if it is valid
	}{
		"good":              {auth.Config{Source: good, DPoP: d}, ""},
		"pointer":           {auth.Config{Source: &good, DPoP: d}, ""},
		"user's source":     {auth.Config{Source: source(nil), DPoP: d}, ""},
		"in source only":    {auth.Config{Source: good}, "invalid DPoP: want the same one"},
		"not in source":     {auth.Config{Source: (&server{}).refreshToken(), DPoP: d}, "invalid DPoP: want the same one"},
		"another":           {auth.Config{Source: good, DPoP: auth.NewDPoP(nil)}, "invalid DPoP: want the same one"},
		"nil source":        {auth.Config{Source: (*auth.RefreshToken)(nil), DPoP: d}, "invalid Source nil"},
		"header":            {auth.Config{Source: good, DPoP: d, Header: "X-Token"}, "invalid DPoP: want none beside Header"},
		"prefix":            {auth.Config{Source: good, DPoP: d, Prefix: "Bearer"}, "invalid DPoP: want none beside Header"},
		"inject":            {auth.Config{Source: good, DPoP: d, Inject: inject}, "invalid DPoP: want none beside Header"},
		"zero":              {auth.Config{Source: zero, DPoP: zero.DPoP}, "invalid DPoP: want one made with NewDPoP"},
		"nil pointer":       {withKey((*ecdsa.PrivateKey)(nil)), "invalid Key nil"},
		"curve":             {withKey(newKey(t, elliptic.P224())), "want ECDSA on P-256"},
		"point off a curve": {withKey(signer{public: &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}}), "invalid Key: want a point on its curve"}, //nolint:staticcheck // It cannot be made otherwise.
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := auth.New(tt.config).Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
			if strings.Contains(tt.want, "Key") {
				if err := auth.New(tt.config).Do(t.Context(), testCall, succeed); !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected {
					t.Errorf("Do() = %v, want ErrTokenUnavailable for good", err)
				}
			}
		})
	}
}

// Without a proof the request is not sent, and the API is not to blame.
func TestAuth36And40KeysThatFail(t *testing.T) {
	sealed := errors.New("CANARY")
	d := auth.NewDPoP(signer{newKey(t, elliptic.P256()).Public(), nil, sealed})
	bound := source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "CANARY", TokenType: "DPoP"}, nil
	})
	rs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent, want none") }))
	defer rs.Close()
	client := &http.Client{Transport: pipeline.Must(pipeline.New("api", auth.New(auth.Config{Source: bound, DPoP: d}))).Transport(nil)}
	response, err := client.Get(rs.URL)
	if err == nil {
		read(t, response)
	}
	if !errors.Is(err, auth.ErrTokenUnavailable) || !errors.Is(err, sealed) || strings.Contains(err.Error(), "CANARY") || policy.ClassOf(err) != policy.Throttled || !policy.NoEffect(err) {
		t.Errorf("got %v, want ErrTokenUnavailable without secrets", err)
	}

	as := &server{}
	s := as.refreshToken()
	s.DPoP = d
	err = auth.New(auth.Config{Source: s, DPoP: d}).Do(t.Context(), testCall, succeed)
	if !errors.Is(err, auth.ErrTokenUnavailable) || !errors.Is(err, sealed) || strings.Contains(err.Error(), "CANARY") || as.count() != 0 {
		t.Errorf("Do() = %v after %d token requests, want ErrTokenUnavailable without secrets after none", err, as.count())
	}
}

func TestAuth40DPoP(t *testing.T) {
	seed := bytes.Repeat([]byte("CANARY!!"), 4)
	d := auth.NewDPoP(ed25519.NewKeyFromSeed(seed))
	decimal := strings.Trim(fmt.Sprintf("%d", seed[:6]), "[]")
	s := auth.RefreshToken{DPoP: d}
	for what, v := range map[string]any{
		"pointer": d, "value": *d, "in a struct": struct{ D *auth.DPoP }{d}, "hidden in a struct": struct{ d *auth.DPoP }{d},
		"hidden value": struct{ d auth.DPoP }{*d},
		"in a source":  s, "in a config": auth.Config{Source: s, DPoP: d}, "in a policy": auth.New(auth.Config{Source: s, DPoP: d}),
	} {
		isClean(t, what, v)
		for way, text := range prints(v) {
			if strings.Contains(text, decimal) {
				t.Errorf("%s printed by %s shows the key: %s", what, way, text)
			}
		}
	}
	if got, want := fmt.Sprintf("%+v %v", d, (*auth.DPoP)(nil)), "auth.DPoP(EdDSA) <nil>"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}

func TestAuth44NonceIsTold(t *testing.T) {
	key := newKey(t, elliptic.P256())
	as, rs := newLogins(t, key.Public()), newBoundAPI(t, key.Public(), false)
	d := auth.NewDPoP(key)
	said := &transcript{}
	p := pipeline.Must(pipeline.New("api", auth.New(auth.Config{Source: auth.RefreshToken{TokenURL: as.URL + "/token", ClientID: "client", RefreshToken: "RT1", DPoP: d}, DPoP: d}))).
		WithObserver(func(ctx context.Context, event policy.Event) { said.Emit(ctx, event) })
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	rs.want("CANARY")
	send(t, &http.Client{Transport: p.Transport(base)}, "GET", rs.URL, nil)
	if got := said.String(); !strings.HasSuffix(got, "\nauth.nonce_renewed") || strings.Contains(got, "CANARY") {
		t.Errorf("it says %q, want that the nonce was renewed, and not the nonce", got)
	}
}

func BenchmarkProof(b *testing.B) {
	d := auth.NewDPoP(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Proof("GET", "https://api.example.com/orders?page=2", "AT"); err != nil {
			b.Fatal(err)
		}
	}
}
