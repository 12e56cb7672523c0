package benchmarks_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

// A login returns a client whose requests go over base with a token, which it gets from tokenURL by
// the refresh token "refresh-secret".
type login func(ctx context.Context, tokenURL string, base http.RoundTripper) *http.Client

func evenkeelLogin(_ context.Context, tokenURL string, base http.RoundTripper) *http.Client {
	source := auth.RefreshToken{
		TokenURL: tokenURL, ClientID: "test", RefreshToken: "refresh-secret", AuthStyle: oauth2.AuthStyleInParams,
	}
	return &http.Client{Transport: pipeline.Must(pipeline.New("test", auth.New(auth.Config{Source: source}))).Transport(base)}
}

func oauth2Login(ctx context.Context, tokenURL string, base http.RoundTripper) *http.Client {
	config := &oauth2.Config{
		ClientID: "test", Endpoint: oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
	source := config.TokenSource(ctx, &oauth2.Token{RefreshToken: "refresh-secret"})
	return &http.Client{Transport: &oauth2.Transport{Source: source, Base: base}}
}

func logins() map[string]login { return map[string]login{ours: evenkeelLogin, "x/oauth2": oauth2Login} }

// endpoint returns the URL of a server.
func endpoint(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// tokens returns the URL of a token endpoint that issues token1, token2, and so on.
func tokens(t *testing.T) string {
	t.Helper()
	var issued atomic.Int64
	return endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token": "token%d", "token_type": "Bearer", "expires_in": 3600}`, issued.Add(1))
	})
}

func answer(req *http.Request, code int) *http.Response {
	return &http.Response{StatusCode: code, Header: make(http.Header), Body: http.NoBody, Request: req}
}

func TestARevokedTokenIsReplaced(t *testing.T) {
	compare(t, logins(), func(t *testing.T, in login) error {
		client := in(t.Context(), tokens(t), roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer token1" {
				return answer(req, 401), nil
			}
			return answer(req, 200), nil
		}))
		for range 3 {
			response, err := client.Do(newRequest(t, "GET", "https://api.example.com", ""))
			if err != nil {
				t.Fatal(err)
			}
			drain(response)
			if response.StatusCode == 200 {
				return nil
			}
		}
		return errors.New("the refused token was sent three times, want another one")
	})
}

func TestTheTokenStaysWithItsOrigin(t *testing.T) {
	compare(t, logins(), func(t *testing.T, in login) error {
		var elsewhere string
		client := in(t.Context(), tokens(t), roundTripper(func(req *http.Request) (*http.Response, error) {
			response := answer(req, 302)
			switch req.URL.Host {
			case "api.example.com":
				response.Header.Set("Location", "https://elsewhere.example.net")
			default:
				elsewhere = req.Header.Get("Authorization")
				response.StatusCode = 200
			}
			return response, nil
		}))
		response, err := client.Do(newRequest(t, "GET", "https://api.example.com", ""))
		if err != nil || response.Request.URL.Host != "elsewhere.example.net" {
			t.Fatalf("got %v, %v, want a redirect to be followed", response, err)
		}
		drain(response)
		if elsewhere != "" {
			return fmt.Errorf("%q went to another host, by a redirect", elsewhere)
		}
		return nil
	})
}

func TestAFailingEndpointAnswersAllWaitersAtOnce(t *testing.T) {
	const callers = 20
	compare(t, logins(), func(t *testing.T, in login) error {
		var requests atomic.Int64
		var begun sync.WaitGroup
		begun.Add(callers)
		url := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			begun.Wait()
			time.Sleep(20 * time.Millisecond) // until they wait
			w.WriteHeader(503)
		})
		client := in(t.Context(), url, roundTripper(func(req *http.Request) (*http.Response, error) {
			return answer(req, 200), nil
		}))
		var calls sync.WaitGroup
		for range callers {
			calls.Go(func() {
				begun.Done()
				response, err := client.Do(newRequest(t, "GET", "https://api.example.com", ""))
				if err == nil {
					t.Error("a call without a token has no error")
				}
				drain(response)
			})
		}
		calls.Wait()
		if n := requests.Load(); n > 1 {
			return fmt.Errorf("%d calls made %d token requests, one after another, want 1", callers, n)
		}
		return nil
	})
}

func TestNoErrorHoldsTheRefreshToken(t *testing.T) {
	compare(t, logins(), func(t *testing.T, in login) error {
		url := endpoint(t, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(400)
			_, _ = io.Copy(w, req.Body) // as a debugging page does
		})
		client := in(t.Context(), url, http.DefaultTransport)
		response, err := client.Do(newRequest(t, "GET", "https://api.example.com", ""))
		drain(response)
		if err == nil {
			t.Fatal("a call without a token has no error")
		}
		if strings.Contains(err.Error(), "refresh-secret") {
			return errors.New("the error holds the refresh token")
		}
		return nil
	})
}
