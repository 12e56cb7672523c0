package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// An answering transport has the same answer to everything, and counts how often
// its body is closed.
type answering struct {
	status            int
	contentType, body string
	closed            atomic.Int32
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	response := response(r, a.status, "")
	response.Header.Set("Content-Type", a.contentType)
	response.Body = body{strings.NewReader(a.body), &a.closed}
	return response, nil
}

func (a *answering) source() auth.RefreshToken {
	return auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", RefreshToken: "RT1", HTTPClient: &http.Client{Transport: a}}
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

func TestAuth39Answers(t *testing.T) {
	const none, at = -1, "AT "
	tests := []struct {
		name      string
		status    int
		mediaType string
		body      string
		want      string        // access token, type and refresh token, or what the error says
		expiresIn time.Duration // of a token; none if it does not say
		class     policy.Class  // of an error
	}{
		{"JSON", 200, jsonType, `{"access_token":"AT","token_type":"bearer","refresh_token":"RT2","expires_in":60}`, "AT bearer RT2", time.Minute, 0},
		{"JSON of another type", 200, "text/javascript; charset=utf-8", `{"access_token":"AT","token_type":"Bearer"}`, "AT Bearer RT1", none, 0},
		{"JSON without a type", 201, "", `{"access_token":"AT"}`, at + " RT1", none, 0},
		{"JSON with more than it takes", 200, jsonType, `{"access_token":"AT","scope":["a"],"x":{"access_token":"no"}}`, at + " RT1", none, 0},
		{"form", 200, formType, "access_token=AT&token_type=bearer&refresh_token=RT2&expires_in=60", "AT bearer RT2", time.Minute, 0},
		{"form as text", 200, "text/plain; charset=utf-8", "access_token=A%20T&expires_in=60.5", "A T  RT1", 60500 * time.Millisecond, 0},
		{"form sold as JSON", 200, jsonType, "access_token=AT&refresh_token=RT2", at + " RT2", none, 0},
		{"JSON sold as form", 200, formType, `{"access_token":"AT","refresh_token":"RT2"}`, at + " RT2", none, 0},
		{"BOM", 200, jsonType, "\ufeff" + `{"access_token":"AT","refresh_token":"RT2"}`, at + " RT2", none, 0},

		{"lifetime as string", 200, jsonType, `{"access_token":"AT","expires_in":"60"}`, at + " RT1", time.Minute, 0},
		{"lifetime as float", 200, jsonType, `{"access_token":"AT","expires_in":60.5}`, "AT  ", 60500 * time.Millisecond, 0},
		{"lifetime with exponent", 200, jsonType, `{"access_token":"AT","expires_in":6e1}`, "AT  ", time.Minute, 0},
		{"huge lifetime", 200, jsonType, `{"access_token":"AT","expires_in":1e12}`, "AT  ", (1<<31 - 1) * time.Second, 0},
		{"absurd lifetime", 200, jsonType, `{"access_token":"AT","expires_in":1e400}`, "AT  ", 0, 0},
		{"lifetime of 0", 200, jsonType, `{"access_token":"AT","expires_in":0}`, at + " RT1", 0, 0},
		{"negative lifetime", 200, jsonType, `{"access_token":"AT","expires_in":-1}`, at + " RT1", 0, 0},
		{"null lifetime", 200, jsonType, `{"access_token":"AT","expires_in":null}`, at + " RT1", none, 0},
		{"empty lifetime", 200, jsonType, `{"access_token":"AT","expires_in":""}`, "AT  ", none, 0},
		{"lifetime in other letters", 200, jsonType, `{"Access_Token":"AT","Expires_In":60}`, at + " RT1", time.Minute, 0},

		{"code", 400, jsonType, `{"error":"invalid_grant","error_description":"CANARY"}`, "answered 400 invalid_grant", 0, policy.Permanent},
		{"code in a form", 400, formType, `error=invalid_scope&error_description=CANARY`, "answered 400 invalid_scope", 0, policy.Permanent},
		{"code in a 401", 401, jsonType, `{"error":"invalid_grant"}`, "answered 401 invalid_grant", 0, policy.Permanent},
		{"code in a 200", 200, jsonType, `{"error":"invalid_client"}`, "answered 200 invalid_client", 0, policy.Permanent},
		{"code and a token in a 200", 200, jsonType, `{"error":"invalid_scope","access_token":"CANARY"}`, "answered 200 invalid_scope", 0, policy.Permanent},
		{"code in a malformed 200", 200, jsonType, `{"error":"CANARY","access_token":"CANARY","expires_in":1.5}`, "malformed", 0, policy.Transient},
		{"unknown code", 400, jsonType, `{"error":"CANARY"}`, "answered 400 other", 0, policy.Permanent},
		{"code that passes", 400, jsonType, `{"error":"temporarily_unavailable"}`, "answered 400 temporarily_unavailable", 0, policy.Transient},
		{"no code", 400, "text/html", `<h1>CANARY</h1>`, "answered 400", 0, policy.Permanent},
		{"bad gateway", 502, "text/html", `<h1>CANARY</h1>`, "answered 502", 0, policy.Transient},
		{"code in a 503", 503, jsonType, `{"error":"server_error"}`, "answered 503 server_error", 0, policy.Transient},
		{"empty 429", 429, "", "", "answered 429", 0, policy.Transient},
		{"token in a 500", 500, jsonType, `{"access_token":"CANARY"}`, "answered 500", 0, policy.Transient},
		{"empty", 200, jsonType, "", "malformed", 0, policy.Transient},
		{"no token", 200, jsonType, `{"token_type":"Bearer","x":"CANARY"}`, "malformed", 0, policy.Transient},
		{"page", 200, "text/html", `<h1>CANARY</h1>`, "malformed", 0, policy.Transient},
		{"list", 200, jsonType, `[{"access_token":"CANARY"}]`, "malformed", 0, policy.Transient},
		{"no content", 204, "", "", "malformed", 0, policy.Transient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answering{status: tt.status, contentType: tt.mediaType, body: tt.body}
				token, err := a.source().Token(t.Context(), nil)
				if got := a.closed.Load(); got != 1 {
					t.Errorf("the body was closed %d times, want once", got)
				}
				if err != nil {
					if !strings.Contains(err.Error(), tt.want) || policy.ClassOf(err) != tt.class {
						t.Errorf("Token() = %v of class %v, want %q of class %v", err, policy.ClassOf(err), tt.want, tt.class)
					}
					isClean(t, "error", err)
					return
				}
				if got := token.AccessToken + " " + token.TokenType + " " + token.RefreshToken; got != tt.want {
					t.Errorf("token %q, want %q", got, tt.want)
				}
				wantExpiry := time.Now().Add(tt.expiresIn)
				if tt.expiresIn == none {
					wantExpiry = time.Time{}
				}
				if !token.Expiry.Equal(wantExpiry) {
					t.Errorf("expires in %v, want %v", time.Until(token.Expiry), tt.expiresIn)
				}
			})
		})
	}
}

// told are all texts of errors about an answer.
var told = regexp.MustCompile(`^(auth: reauthorization required: )?the token endpoint('s answer is malformed or incomplete| answered -?\d+( ` +
	`(invalid_(request|client|grant|scope|target|dpop_proof)|unauthorized_client|unsupported_grant_type|server_error|temporarily_unavailable|use_dpop_nonce|other))?)$`)

// What x/oauth2 takes for a token, we take for the same token, except for when it
// expires. What it refuses, we refuse; what it cannot read, we may.
func FuzzAuth39TokenResponse(f *testing.F) {
	for _, seed := range []struct {
		status     int
		mediaType  string
		bodyOfSeed string
	}{
		{200, jsonType, `{"access_token":"AT","token_type":"bearer","refresh_token":"RT2","expires_in":60}`},
		{200, jsonType, `{"access_token":"AT","expires_in":"60.5"}`},
		{200, jsonType, `{"ACCESS_TOKEN":"AT","Expires_In":60,"Error":"x"}`},
		{200, jsonType, `{"error":"invalid_scope","access_token":"AT","expires_in":1.5}`},
		{200, formType, `access_token=AT&refresh_token=RT2&expires_in=60`},
		{200, "text/plain", `access_token=AT&expires_in=-1;%zz`},
		{200, "text/html", "\ufeff<h1>x</h1>"},
		{400, jsonType, `{"error":"invalid_grant","error_description":"d"}`},
		{401, formType, `error=invalid_client`},
		{503, "", ``},
	} {
		f.Add(seed.status, seed.mediaType, seed.bodyOfSeed)
	}
	f.Fuzz(func(t *testing.T, status int, mediaType, body string) {
		a := &answering{status: status, contentType: mediaType, body: body}
		got, err := a.source().Token(t.Context(), nil)
		if n := a.closed.Load(); n != 1 {
			t.Errorf("the body was closed %d times, want once", n)
		}
		want, wantErr := reference(t.Context(), a)
		if err != nil && !told.MatchString(err.Error()) {
			t.Errorf("error %q, want nothing that is not known to be harmless", err)
		}
		_, refused := errors.AsType[*oauth2.RetrieveError](wantErr)
		switch {
		case wantErr == nil:
			if err != nil || got.AccessToken != want.AccessToken || got.RefreshToken != want.RefreshToken || got.TokenType != want.TokenType {
				t.Fatalf("got %v (%v), want %v", got, err, want)
			}
			checkExpiry(t, got.Expiry, want.Expiry)
		case refused:
			if err == nil {
				t.Errorf("got %v, want what x/oauth2 refuses refused: %v", got, wantErr)
			}
		case err == nil:
			// Salvaged.
			if status < 200 || status > 299 || got.AccessToken == "" && got.RefreshToken == "" || code(body) != "" {
				t.Errorf("got %v of %d, want a token of a good answer, or none", got, status)
			}
		}
	})
}

// reference returns what x/oauth2 makes of an answer.
func reference(ctx context.Context, a *answering) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, a.source().HTTPClient)
	config := oauth2.Config{ClientID: "client", Endpoint: oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: oauth2.AuthStyleInParams}}
	return config.TokenSource(ctx, &oauth2.Token{RefreshToken: "RT1"}).Token()
}

// checkExpiry checks when a token expires: as x/oauth2 says, if it has found out;
// we know of more ways to write it.
func checkExpiry(t *testing.T, got, want time.Time) {
	t.Helper()
	switch {
	case want.IsZero():
	case got.IsZero():
		t.Errorf("the token does not expire, want it to in %v", time.Until(want))
	case want.After(time.Now().Add(time.Second)) && want.Sub(got).Abs() > 2*time.Second:
		t.Errorf("the token expires in %v, want %v", time.Until(got), time.Until(want))
	}
}

// code returns the error code of an answer in JSON.
func code(body string) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(body), &answer) != nil {
		return ""
	}
	return answer.Error
}
