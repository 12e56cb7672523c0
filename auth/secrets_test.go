package auth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// prints returns all ways in which users print things.
func prints(v any) map[string]string {
	texts := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts[verb] = fmt.Sprintf(verb, v)
	}
	if data, err := json.Marshal(v); err == nil {
		texts["JSON"] = string(data)
	}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("test", "v", v)
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("test", "v", v)
	texts["slog"] = buf.String()
	return texts
}

// isClean checks that none of the ways to print v shows a canary.
func isClean(t *testing.T, what string, v any) {
	t.Helper()
	hex, decimal := fmt.Sprintf("%x", "CANARY"), "67 65 78 65 82 89" // as strings and slices of bytes may be printed
	for way, text := range prints(v) {
		if strings.Contains(text, "CANARY") || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, decimal) {
			t.Errorf("%s printed by %s shows a secret: %s", what, way, text)
		}
	}
	for err, _ := v.(error); err != nil; err = errors.Unwrap(err) {
		if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "CANARY") {
			t.Errorf("%s wraps an error that shows a secret: %#v", what, err)
		}
	}
}

func TestAuth40Configuration(t *testing.T) {
	refresh := auth.RefreshToken{
		TokenURL: "https://user:CANARY@login.example.com/token?key=CANARY", ClientID: "client", ClientSecret: "CANARY", RefreshToken: "CANARY",
		Params: url.Values{"client_assertion": {"CANARY"}},
	}
	credentials := auth.ClientCredentials{TokenURL: refresh.TokenURL, ClientID: "client", ClientSecret: "CANARY", Params: refresh.Params}
	foreign := auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "CANARY"}))
	for _, source := range []auth.Source{refresh, &refresh, credentials, &credentials, foreign} {
		isClean(t, "source", source)
		config := auth.Config{Source: source}
		isClean(t, "config", config)
		isClean(t, "pointer to config", &config)
		isClean(t, "struct with a config", struct{ Auth auth.Config }{config})
		isClean(t, "struct with a source", struct{ Source auth.Source }{source})
		p := auth.New(config)
		isClean(t, "policy", p)
		if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "CANARY", RefreshToken: "CANARY"}); err != nil {
			t.Fatal(err)
		}
		isClean(t, "policy with a token", p)
		isClean(t, "struct with a policy", struct{ p *auth.Policy }{p})
		if err := p.Validate(); err != nil {
			isClean(t, "what Validate says", err)
		}
	}
	if got, want := fmt.Sprintf("%+v", credentials), "client"; !strings.Contains(got, want) || !strings.Contains(got, "login.example.com/token") {
		t.Errorf("a source prints as %s, want what is not secret", got)
	}
	var decoded auth.RefreshToken
	if err := json.Unmarshal([]byte(`{"token_url":"https://x.example","client_secret":"s","refresh_token":"r"}`), &decoded); err != nil || decoded.ClientSecret != "s" || decoded.RefreshToken != "r" {
		t.Errorf("decoded from JSON: %v, secrets lost", err)
	}
}

// Servers that repeat what they got, in every place where an error may find it.
func TestAuth40ServersThatEcho(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Www-Authenticate", `CANARY realm="CANARY"`)
			w.Header().Set("Retry-After", "CANARY")
			w.Header().Set("Location", "https://CANARY.invalid/?token=CANARY")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	const js, form = "application/json", "application/x-www-form-urlencoded"
	tests := map[string]http.HandlerFunc{
		"form":              answer(400, form, "refresh_token=CANARY&client_secret=CANARY"),
		"description":       answer(400, js, `{"error":"invalid_grant","error_description":"CANARY","error_uri":"https://x/CANARY"}`),
		"form description":  answer(400, form, `error=invalid_grant&error_description=CANARY`),
		"code":              answer(400, js, `{"error":"CANARY"}`),
		"code in a 200":     answer(200, js, `{"error":"CANARY","access_token":"CANARY"}`),
		"500":               answer(500, "text/plain", "CANARY"),
		"redirect":          answer(302, "text/plain", "CANARY"),
		"malformed JSON":    answer(200, js, `CANARY`),
		"malformed number":  answer(200, js, `{"access_token":"x","expires_in":"CANARY"}`),
		"wrong type":        answer(200, js, `{"access_token":{"CANARY":1}}`),
		"unprintable token": answer(200, js, `{"access_token":"CANARY\n"}`),
		"unknown type":      answer(200, js, `{"access_token":"CANARY","token_type":"CANARY"}`),
		"expired":           answer(200, js, `{"access_token":"CANARY","expires_in":0}`),
		"malformed status":  raw("CANARY\r\n\r\n"),
		"malformed header":  raw("HTTP/1.1 200 OK\r\nCANARY\r\n\r\n"),
		"malformed length":  raw("HTTP/1.1 200 OK\r\nContent-Length: CANARY\r\n\r\n"),
		"malformed coding":  raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: CANARY\r\n\r\n"),
		"cut off":           raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nCANARY"),
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			said := &transcript{}
			for _, source := range []auth.Source{
				auth.RefreshToken{TokenURL: server.URL + "/?q=CANARY", ClientID: "client", ClientSecret: "CANARY", RefreshToken: "CANARY", HTTPClient: server.Client()},
				auth.ClientCredentials{TokenURL: server.URL + "/?q=CANARY", ClientID: "client", ClientSecret: "CANARY", HTTPClient: server.Client()},
			} {
				err := auth.New(auth.Config{Source: source}).Do(t.Context(), testCall.WithRecorder(said), (&api{}).do)
				if err == nil {
					t.Fatal("Do() = nil, want an error")
				}
				isClean(t, "error", err)
				isClean(t, "what is recorded", said.String())
				t.Log(err)
			}
		})
	}
}

// An API that repeats the token that it refuses.
func TestAuth40ChallengesThatEcho(t *testing.T) {
	as := &server{answer: func(n int, _ url.Values) (int, string) {
		if n == 1 {
			return 200, `{"access_token":"CANARY"}`
		}
		return 503, ""
	}}
	original := &refusal{[]string{`Bearer realm="orders", error="invalid_token", error_description="CANARY"`}}
	err := as.policy().Do(t.Context(), testCall, (&api{refuses: refuseAll, refusal: original}).do)
	e, ok := errors.AsType[*auth.AuthError](err)
	if !ok || len(e.Challenges) != 1 || e.Challenges[0].Params["realm"] != "orders" {
		t.Fatalf("Do() = %v, want an AuthError with the challenge", err)
	}
	isClean(t, "error", err)
}

// What may be told of a request without an answer is told.
func TestAuth40TransportErrors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	s := auth.ClientCredentials{TokenURL: "http://" + address + "/?q=CANARY", ClientID: "client"}
	err = auth.New(auth.Config{Source: s}).Do(t.Context(), testCall, (&api{}).do)
	isClean(t, "error", err)
	if e, ok := errors.AsType[*net.OpError](err); !ok || e.Op != "dial" || !strings.Contains(err.Error(), address) {
		t.Errorf("Do() = %v, want an error that wraps the dial's", err)
	}
	if _, ok := errors.AsType[*url.Error](err); ok || policy.ClassOf(err) != policy.Throttled {
		t.Errorf("Do() = %#v of class %v, want no url.Error, and class throttled", err, policy.ClassOf(err))
	}
}
