package benchmarks_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/hashicorp/go-retryablehttp"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
)

// A transport repeats, at most twice, the requests that it sends over base.
type transport func(base http.RoundTripper) http.RoundTripper

func evenkeelTransport(base http.RoundTripper) http.RoundTripper {
	return pipeline.Must(pipeline.New("test", retry.New(retry.Config{InitialInterval: time.Millisecond}))).Transport(base)
}

func failsafeTransport(base http.RoundTripper) http.RoundTripper {
	return failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().WithBackoff(time.Millisecond, time.Second).Build()) //nolint:bodyclose // A builder is no response.
}

func retryableTransport(base http.RoundTripper) http.RoundTripper {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: base}
	client.Logger = nil
	client.RetryMax = 2
	client.RetryWaitMin = time.Millisecond
	return &retryablehttp.RoundTripper{Client: client}
}

// statuses returns a server that answers with them, one after another, and with the last for ever.
// Each answer has a body, and a cookie that is a secret. The server counts its connections.
func statuses(t *testing.T, codes ...int) (url string, requests, connections *atomic.Int64) {
	t.Helper()
	requests, connections = new(atomic.Int64), new(atomic.Int64)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := requests.Add(1)
		w.Header().Set("Set-Cookie", "session=secret")
		w.WriteHeader(codes[min(int(n), len(codes))-1])
		_, _ = io.WriteString(w, "the body")
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, requests, connections
}

// pool returns connections that end with the test, whoever has forgotten them.
func pool(t *testing.T) *http.Transport {
	t.Helper()
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	return base
}

func newRequest(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// drain reads and closes the response, if there is one.
func drain(response *http.Response) (body string) {
	if response == nil {
		return ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return string(text)
}

func TestDiscardedResponsesGiveTheirConnectionsBack(t *testing.T) {
	compare(t, map[string]transport{
		ours:          evenkeelTransport,
		"failsafe-go": failsafeTransport,
	}, func(t *testing.T, through transport) error {
		url, _, connections := statuses(t, 503, 503, 200)
		base := pool(t)
		response, err := through(base).RoundTrip(newRequest(t, "GET", url, ""))
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("got %v, %v, want 200", response, err)
		}
		drain(response)
		if n := connections.Load(); n != 1 {
			return fmt.Errorf("503, 503, 200 used %d connections, want 1", n)
		}
		return nil
	})
}

func TestTheLastResponseIsTheCallers(t *testing.T) {
	compare(t, map[string]transport{
		ours:               evenkeelTransport,
		"failsafe-go":      failsafeTransport,
		"go-retryablehttp": retryableTransport,
	}, func(t *testing.T, through transport) error {
		url, requests, _ := statuses(t, 503)
		response, err := through(pool(t)).RoundTrip(newRequest(t, "GET", url, ""))
		body := drain(response)
		if n := requests.Load(); n != 3 {
			t.Fatalf("%d requests, want 3", n)
		}
		if body != "the body" {
			return fmt.Errorf("no response after three of 503, but the error %.40q", err)
		}
		return nil
	})
}

func TestNoErrorHoldsAResponseHeader(t *testing.T) {
	compare(t, map[string]transport{
		ours:          evenkeelTransport,
		"failsafe-go": failsafeTransport,
	}, func(t *testing.T, through transport) error {
		url, _, _ := statuses(t, 503)
		response, err := through(pool(t)).RoundTrip(newRequest(t, "GET", url, ""))
		drain(response)
		if err != nil && strings.Contains(err.Error(), "session=secret") {
			return errors.New("the error holds the cookie that the server set")
		}
		return nil
	})
}

func TestAPostIsNotRepeatedAfterA500(t *testing.T) {
	compare(t, map[string]transport{
		ours:               evenkeelTransport,
		"failsafe-go":      failsafeTransport,
		"go-retryablehttp": retryableTransport,
	}, func(t *testing.T, through transport) error {
		url, requests, _ := statuses(t, 500)
		response, _ := through(pool(t)).RoundTrip(newRequest(t, "POST", url, "an order"))
		drain(response)
		if n := requests.Load(); n != 1 {
			return fmt.Errorf("the order was sent %d times, want 1", n)
		}
		return nil
	})
}

func TestAHostsFailuresLeaveTheConnectionsToOthersAlone(t *testing.T) {
	compare(t, map[string]transport{
		ours:               evenkeelTransport,
		"go-retryablehttp": retryableTransport,
	}, func(t *testing.T, through transport) error {
		bad, _, _ := statuses(t, 502)
		good, _, connections := statuses(t, 200)
		repeating := through(pool(t))
		for range 5 {
			for _, url := range []string{good, bad} {
				response, err := repeating.RoundTrip(newRequest(t, "GET", url, ""))
				if url == good && err != nil {
					t.Fatal(err)
				}
				drain(response)
			}
		}
		if n := connections.Load(); n != 1 {
			return fmt.Errorf("%d connections to the host that is well, want 1", n)
		}
		return nil
	})
}
