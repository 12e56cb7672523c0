package interop_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager")) // of go-oauth2
}

// A world is an authorization server, the way there, and an API that takes its tokens.
type world struct {
	*server

	api   *api
	wire  *wire
	storm *gate // before /storm of the API
	late  *gate // before /late of the API
}

// How many calls come at a time.
const (
	many = 1000
	some = 20
)

func newWorld(t *testing.T, tr traits, c config) *world {
	t.Helper()
	c.id = cmp.Or(c.id, "client")
	if c.public {
		c.style = oauth2.AuthStyleInParams
	} else {
		c.secret = cmp.Or(c.secret, "secret-of-the-client")
		c.style = cmp.Or(c.style, oauth2.AuthStyleInHeader)
	}
	c.lifetime = cmp.Or(c.lifetime, time.Hour)
	s := tr.start(t, c)
	w := &world{server: s, wire: &wire{base: newTransport(t)}, storm: newGate(many), late: newGate(some)}
	w.api = startAPI(t, s, map[string]*gate{"/storm": w.storm, "/late": w.late})
	return w
}

func (w *world) refreshToken(refreshToken string) auth.RefreshToken {
	return auth.RefreshToken{
		TokenURL: w.tokenURL, ClientID: w.id, ClientSecret: w.secret, AuthStyle: w.style,
		RefreshToken: refreshToken, HTTPClient: &http.Client{Transport: w.wire},
	}
}

func (w *world) clientCredentials() auth.ClientCredentials {
	return auth.ClientCredentials{
		TokenURL: w.tokenURL, ClientID: w.id, ClientSecret: w.secret, AuthStyle: w.style,
		HTTPClient: &http.Client{Transport: w.wire},
	}
}

// A client calls the API with the tokens of a policy.
type client struct {
	url    string
	policy *auth.Policy
	http   *http.Client
}

func (w *world) client(t *testing.T, source auth.Source) *client {
	t.Helper()
	p := auth.New(auth.Config{Source: source})
	transport := pipeline.Must(pipeline.New("t", p)).Transport(newTransport(t))
	return &client{w.api.url, p, &http.Client{Transport: transport}}
}

// loggedIn returns a client for a user who has just logged in.
func (w *world) loggedIn(t *testing.T) *client {
	t.Helper()
	return w.client(t, w.refreshToken(w.login(t).RefreshToken))
}

// get calls the API, and returns the scopes of the token that it was called with.
func (c *client) get(ctx context.Context, path string) (scopes string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the API answered %d %s", response.StatusCode, body)
	}
	return string(body), err
}

// must calls the API, which must go well.
func (c *client) must(t *testing.T) {
	t.Helper()
	if _, err := c.get(t.Context(), "/"); err != nil {
		t.Fatalf("get() = %v, want nil", err)
	}
}

// persist calls the API until that goes well or fails for a reason that does not pass.
func (c *client) persist(t *testing.T) error {
	t.Helper()
	for {
		_, err := c.get(t.Context(), "/")
		if policy.ClassOf(err) != policy.Throttled {
			return err
		}
		if !errors.Is(err, auth.ErrTokenUnavailable) {
			t.Fatalf("get() = %v, want %v", err, auth.ErrTokenUnavailable)
		}
		wait, ok := policy.RetryAfter(err)
		if !ok {
			t.Fatalf("get() = %v, want an error that says when to try again", err)
		}
		time.Sleep(wait)
	}
}

// wantRequests checks how many token requests the server has had.
func (w *world) wantRequests(t *testing.T, want int) {
	t.Helper()
	if got := w.requests(t); got != want {
		t.Errorf("server has had %d token requests, want %d", got, want)
	}
}

// wantAuthError checks that err is an error of the policy that matches sentinel, with a code of the
// token endpoint, and tells no secrets.
func (w *world) wantAuthError(t *testing.T, err, sentinel error, code string) {
	t.Helper()
	e, ok := errors.AsType[*auth.AuthError](err)
	if !ok || !errors.Is(err, sentinel) || e.ErrorCode != code {
		t.Fatalf("get() = %v, want %v with code %s", err, sentinel, code)
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, e)
	w.wire.mu.Lock()
	defer w.wire.mu.Unlock()
	for _, secret := range append(w.wire.refreshTokens, w.secret) {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("error %s tells a secret", text)
		}
	}
}

// wantRefused checks that the server has answered err to a refresh past the policy.
func (tr traits) wantRefused(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok || e.ErrorCode != "invalid_grant" || e.Response.StatusCode != tr.lostGrantStatus {
		t.Errorf("server answered %v, want %d invalid_grant", err, tr.lostGrantStatus)
	}
}
