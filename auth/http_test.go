package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// newClient returns a client whose requests pass through policies, the first
// of which is auth with tokens from as, on connections of its own.
func newClient(t *testing.T, as *server, inner ...policy.Policy) *http.Client {
	t.Helper()
	p, err := pipeline.New("api", append([]policy.Policy{as.policy()}, inner...)...)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(base.CloseIdleConnections)
	return &http.Client{Transport: p.Transport(base)}
}

// newAPI returns a server on loopback that refuses the given tokens, with a
// challenge and a body, and otherwise answers with the token and the request's
// body.
func newAPI(t *testing.T, refuses func(token string) bool) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if refuses(token) {
			w.Header().Set("Www-Authenticate", `Bearer realm="orders", error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, token+" refused")
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s", token, body)
	}))
	t.Cleanup(api.Close)
	return api
}

// read returns the status and body of a response.
func read(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

func TestAuth15OneRefreshFor1000RejectionsOverHTTP(t *testing.T) {
	api := newAPI(t, refuse("AT1"))
	as := &server{}
	var refused sync.WaitGroup
	refused.Add(1000)
	together := policy.New("together", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		err := next(ctx, call)
		if errors.Is(err, policy.ErrUnauthenticated) {
			refused.Done()
			refused.Wait() // nobody reacts before all have been refused
		}
		return err
	})
	client := newClient(t, as, together)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			response, err := client.Get(api.URL)
			if err != nil {
				t.Error(err)
				return
			}
			if got := read(t, response); got != "200 AT2 " {
				t.Errorf("got %q, want 200 with AT2", got)
			}
		})
	}
	wg.Wait()
	if got := as.count(); got != 2 {
		t.Errorf("%d token requests, want 2: the first token, and one in its place", got)
	}
}

func TestAuth14SecondRefusalIsTheResponse(t *testing.T) {
	api := newAPI(t, refuseAll)
	response, err := newClient(t, &server{}).Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response); got != "401 AT2 refused" {
		t.Errorf("got %q, want the second 401", got)
	}
}

func TestAuth17OtherStatusesOverHTTP(t *testing.T) {
	for _, status := range []int{403, 407, 404, 500} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", `Bearer error="invalid_token"`)
			w.Header().Set("Proxy-Authenticate", `Bearer`)
			w.WriteHeader(status)
		}))
		as := &server{}
		response, err := newClient(t, as).Get(api.URL)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, response); got != fmt.Sprint(status, " ") || as.count() != 1 {
			t.Errorf("got %q after %d token requests, want %d after 1", got, as.count(), status)
		}
		api.Close()
	}
}

// A 403 is no failure, unless the pipeline and the policy say so.
func TestAuth17UsersClassifierOverHTTP(t *testing.T) {
	forbidden := func(err error) bool {
		e, ok := errors.AsType[*pipeline.StatusError](err)
		return ok && e.StatusCode == http.StatusForbidden
	}
	tests := []struct {
		name     string
		method   string
		failures []int
		refuses  func(string) bool
		want     string
		tokens   int // requests for them
	}{
		{"as a failure", http.MethodGet, []int{403}, refuse("AT1"), "200 AT2", 2},
		{"twice", http.MethodGet, []int{403}, refuseAll, "403 AT2 refused", 2},
		{"after which nothing can be repeated", http.MethodPost, []int{403}, refuse("AT1"), "403 AT1 refused", 2},
		{"as a result", http.MethodGet, nil, refuse("AT1"), "403 AT1 refused", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
				if tt.refuses(token) {
					w.WriteHeader(http.StatusForbidden)
					token += " refused"
				}
				_, _ = io.WriteString(w, token)
			}))
			defer api.Close()
			as := &server{}
			a := auth.New(auth.Config{Source: as.refreshToken(), Unauthenticated: forbidden})
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			client := &http.Client{Transport: pipeline.Must(pipeline.New("api", a)).WithFailures(tt.failures...).Transport(base)}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, api.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, response); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if _, err := a.Token(t.Context()); err != nil || as.count() != tt.tokens { // the next one may be on its way
				t.Errorf("Token() = %v after %d token requests, want nil after %d", err, as.count(), tt.tokens)
			}
		})
	}
}

// body is a request's body that counts how often it is closed.
type body struct {
	io.Reader
	closed *atomic.Int32
}

func (b body) Close() error { b.closed.Add(1); return nil }

func TestAuth18And19Bodies(t *testing.T) {
	tests := []struct {
		name       string
		replayable bool
		want       string
		wantSends  int32
	}{
		{"replayable", true, "200 AT2 payload", 2},
		{"not replayable", false, "401 AT1 refused", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			api := newAPI(t, refuse("AT1"))
			as := &server{}
			client := newClient(t, as)
			var opened, closed atomic.Int32
			open := func() (io.ReadCloser, error) {
				opened.Add(1)
				return body{strings.NewReader("payload"), &closed}, nil
			}
			first, _ := open()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL, first)
			if err != nil {
				t.Fatal(err)
			}
			if tt.replayable {
				req.GetBody = open
			}
			response, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, response); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			// The next one waits for the new token, if it is still on its way.
			next, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			if response, err = client.Do(next); err != nil {
				t.Fatal(err)
			}
			if got, want := read(t, response), "200 AT2 "; got != want {
				t.Errorf("then got %q, want %q", got, want)
			}
			api.Close() // waits for what the transport still does with bodies
			client.CloseIdleConnections()
			if opened.Load() != tt.wantSends || closed.Load() != tt.wantSends {
				t.Errorf("%d bodies, closed %d times: want %d each", opened.Load(), closed.Load(), tt.wantSends)
			}
			if len(req.Header) != 0 {
				t.Errorf("the caller's request has the headers %v, want none", req.Header)
			}
			if got := as.count(); got != 2 {
				t.Errorf("%d token requests, want 2: the refused token is replaced for others", got)
			}
		})
	}
}

// The answer to the first request is drained, so that the second takes the
// same connection.
func TestAuth19OneConnection(t *testing.T) {
	var connections atomic.Int32
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer AT1" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, strings.Repeat("x", 32<<10))
		}
	}))
	api.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	api.Start()
	defer api.Close()
	response, err := newClient(t, &server{}).Get(api.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response); got != "200 " || connections.Load() != 1 {
		t.Errorf("got %q on %d connections, want 200 on 1", got, connections.Load())
	}
}

func TestAuth21RefreshFailsOverHTTP(t *testing.T) {
	api := newAPI(t, refuseAll)
	as := &server{answer: func(n int, _ url.Values) (int, string) {
		if n == 1 {
			return 0, ""
		}
		return 400, `{"error":"invalid_grant"}`
	}}
	response, err := newClient(t, as).Get(api.URL)
	if err == nil {
		t.Fatalf("got %q, want an error", read(t, response))
	}
	e, ok := errors.AsType[*auth.AuthError](err)
	if !ok || !errors.Is(err, auth.ErrReauthRequired) || e.StatusCode != 401 || e.Challenges[0].Params["realm"] != "orders" {
		t.Errorf("got %v, want an AuthError with status and challenge", err)
	}
}

func TestAuth37CredentialsOfTheCallerOverHTTP(t *testing.T) {
	api := newAPI(t, refuse("own"))
	as := &server{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer own")
	response, err := newClient(t, as).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response); got != "401 own refused" || as.count() != 0 {
		t.Errorf("got %q after %d token requests, want the 401 after none", got, as.count())
	}
}
