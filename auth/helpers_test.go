package auth_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenURL = "https://login.example.com/token"
	apiKey   = "https://api.example.com"
)

// A server is an authorization server that is reached without a socket. It
// rotates refresh tokens, of which RT1 is the first, and does not forgive the
// use of an old one.
type server struct {
	delay     time.Duration
	expiresIn string                                                 // JSON; "" for an hour
	answer    func(n int, form url.Values) (status int, body string) // instead of a token, unless status is 0

	mu       sync.Mutex
	requests []*http.Request
	forms    []url.Values
	current  int // number of the refresh token that is good
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	n, current := s.note(r, form)
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if s.answer != nil {
		if status, body := s.answer(n, form); status != 0 {
			return response(r, status, body), nil
		}
	}
	if form.Get("grant_type") != "refresh_token" {
		return response(r, 200, fmt.Sprintf(`{"access_token":"AT%d","token_type":"Bearer","expires_in":%s}`, n, s.lifetime())), nil
	}
	if form.Get("refresh_token") != fmt.Sprintf("RT%d", current) {
		return response(r, 400, `{"error":"invalid_grant"}`), nil
	}
	s.rotate()
	return response(r, 200, fmt.Sprintf(`{"access_token":"AT%d","token_type":"Bearer","expires_in":%s,"refresh_token":"RT%d"}`, n, s.lifetime(), current+1)), nil
}

func (s *server) note(r *http.Request, form url.Values) (n, current int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = max(s.current, 1)
	s.requests = append(s.requests, r)
	s.forms = append(s.forms, form)
	return len(s.forms), s.current
}

// setCurrent makes the n-th refresh token the good one.
func (s *server) setCurrent(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = n
}

func (s *server) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current++
}

func (s *server) lifetime() string {
	if s.expiresIn == "" {
		return "3600"
	}
	return s.expiresIn
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

// form returns the form of the n-th request, counted from 1.
func (s *server) form(n int) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms[n-1]
}

// request returns the n-th request, counted from 1.
func (s *server) request(n int) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[n-1]
}

func response(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Status:     http.StatusText(status),
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(body)),
		Request:    r,
	}
}

func (s *server) refreshToken() auth.RefreshToken {
	return auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", ClientSecret: "secret", RefreshToken: "RT1", HTTPClient: &http.Client{Transport: s}}
}

func (s *server) clientCredentials() auth.ClientCredentials {
	return auth.ClientCredentials{TokenURL: tokenURL, ClientID: "client", ClientSecret: "secret", HTTPClient: &http.Client{Transport: s}}
}

// policy returns a policy with the server's refresh token.
func (s *server) policy() *auth.Policy { return auth.New(auth.Config{Source: s.refreshToken()}) }

// An api is what tokens are for. It accepts all but those that are refused.
type api struct {
	refuses func(token string) bool
	refusal error // default: policy.ErrUnauthenticated

	mu    sync.Mutex
	calls []string // the tokens, in the order of the calls
}

func (a *api) do(_ context.Context, call policy.Call) error {
	token := strings.TrimPrefix(headerOf(call, "Authorization"), "Bearer ")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, token)
	if a.refuses != nil && a.refuses(token) {
		if a.refusal != nil {
			return a.refusal
		}
		return policy.ErrUnauthenticated
	}
	return nil
}

// tokens returns the tokens of all calls.
func (a *api) tokens() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.calls, " ")
}

func (a *api) count(token string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, t := range a.calls {
		if t == token {
			n++
		}
	}
	return n
}

// refuse returns a function that holds for the given tokens.
func refuse(tokens ...string) func(string) bool {
	return func(token string) bool { return slices.Contains(tokens, token) }
}

func refuseAll(string) bool { return true }

func headerOf(call policy.Call, name string) string {
	value := ""
	for n, v := range call.Header() {
		if strings.EqualFold(n, name) {
			value = v
		}
	}
	return value
}

// A refusal is a 401 with challenges.
type refusal struct{ challenges []string }

func (e *refusal) Error() string        { return "http status 401" }
func (e *refusal) Class() policy.Class  { return policy.Unauthenticated }
func (e *refusal) NoEffect() bool       { return true }
func (e *refusal) Challenges() []string { return e.challenges }

// A source is an auth.Source that is a function.
type source func(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error)

func (s source) Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	return s(ctx, old)
}

// A transcript writes down what a policy says.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (t *transcript) Emit(_ context.Context, event policy.Event) {
	t.add(strings.TrimSpace(event.Name + " " + attrs(event.Attrs)))
}

func (t *transcript) Step(ctx context.Context, _ policy.Call, name string, as []slog.Attr) (context.Context, func(error)) {
	t.add(strings.TrimSpace("begin " + name + " " + attrs(as)))
	return ctx, func(err error) {
		if err != nil {
			t.add("end " + name + ": " + policy.ErrorType(err))
			return
		}
		t.add("end " + name)
	}
}

func (t *transcript) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

func attrs(as []slog.Attr) string {
	var texts []string
	for _, a := range as {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, " ")
}
