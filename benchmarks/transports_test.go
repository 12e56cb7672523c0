package benchmarks_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// An httpLibrary makes transports, all with the same settings, which are those of libraries.
type httpLibrary struct {
	name    string
	create  transport
	retries bool
	open    error // what its circuit says when it is open; nil if it has none
	limits  bool
}

// httpLibraries are from cheap to dear. Those that lack something are a part of what it takes, or
// do something else: x/oauth2 adds a token, and otelhttp traces, to nowhere.
var httpLibraries = []httpLibrary{
	{name: "raw", create: func(base http.RoundTripper) http.RoundTripper { return base }},
	{name: ours, create: newPipelineTransport, retries: true, open: breaker.ErrOpen, limits: true},
	{name: "oauth2", create: newTokenTransport},
	{name: "go-retryablehttp", create: newRetryableTransport, retries: true},
	{name: "hand-written", create: newHandWrittenTransport, retries: true, open: gobreaker.ErrOpenState, limits: true},
	{name: "azcore", create: newAzcoreTransport, retries: true, limits: true},
	{name: "otelhttp", create: func(base http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(base) }},
	{name: "failsafe-go", create: newFailsafeTransport, retries: true, open: circuitbreaker.ErrOpen, limits: true},
}

func newPipelineTransport(base http.RoundTripper) http.RoundTripper {
	return pipeline.Must(pipeline.New("users",
		retry.New(retry.Config{MaxAttempts: attempts, InitialInterval: interval}),
		breaker.New(breaker.Config{ConsecutiveFailures: failures, FailureRatio: 1, OpenFor: openFor}),
		timeout.New(timeout.Config{Limit: limit}),
	)).Transport(base)
}

func newTokenTransport(base http.RoundTripper) http.RoundTripper {
	return &oauth2.Transport{Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}), Base: base}
}

func newRetryableTransport(base http.RoundTripper) http.RoundTripper {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: base}
	client.Logger = nil
	client.RetryMax = attempts - 1
	client.RetryWaitMin = interval
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return &retryablehttp.RoundTripper{Client: client}
}

//nolint:bodyclose // Policies and their builders are no responses.
func newFailsafeTransport(base http.RoundTripper) http.RoundTripper {
	failed := func(response *http.Response, err error) bool { return err != nil || response.StatusCode >= 500 }
	return failsafehttp.NewRoundTripper(base,
		failsafehttp.NewRetryPolicyBuilder().WithMaxAttempts(attempts).WithBackoff(interval, 5*time.Second).
			AbortOnErrors(circuitbreaker.ErrOpen).ReturnLastFailure().Build(),
		circuitbreaker.NewBuilder[*http.Response]().HandleIf(failed).WithFailureThreshold(failures).WithDelay(openFor).Build(),
		failsafetimeout.New[*http.Response](limit),
	)
}

// An azcoreTransport is a pipeline of azcore, which has no circuit breaker, and changes requests.
type azcoreTransport struct{ pipeline azruntime.Pipeline }

// A transporter is what azcore sends requests by.
type transporter struct{ http.RoundTripper }

func (t transporter) Do(req *http.Request) (*http.Response, error) { return t.RoundTrip(req) }

func newAzcoreTransport(base http.RoundTripper) http.RoundTripper {
	return azcoreTransport{azruntime.NewPipeline("users", "v1", azruntime.PipelineOptions{}, &azpolicy.ClientOptions{
		Transport: transporter{base},
		Retry:     azpolicy.RetryOptions{MaxRetries: attempts - 1, RetryDelay: interval, TryTimeout: limit},
		Telemetry: azpolicy.TelemetryOptions{Disabled: true},
	})}
}

func (t azcoreTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	r, err := azruntime.NewRequestFromRequest(req.Clone(req.Context()))
	if err != nil {
		return nil, err
	}
	return t.pipeline.Do(r)
}

// newRequestTo returns a request as a client would send it.
func newRequestTo(tb testing.TB, url string) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// failedTransport returns a transport of which a number of requests in a row have failed, and how many
// have been sent since.
func failedTransport(t *testing.T, create transport, times int) (rt http.RoundTripper, sent *int) {
	t.Helper()
	sent = new(int)
	*sent = -times
	rt = create(roundTripper(func(req *http.Request) (*http.Response, error) {
		*sent++
		if *sent <= 0 {
			return answer(req, 503), nil
		}
		return answer(req, 200), nil
	}))
	for range times {
		if *sent == 0 {
			break
		}
		response, _ := rt.RoundTrip(newRequestTo(t, "https://api.example.com/users/7"))
		drain(response)
	}
	*sent = 0
	return rt, sent
}

// TestTransportsDoTheSameWork checks that no library is fast because it does less than it is said to.
func TestTransportsDoTheSameWork(t *testing.T) {
	for _, l := range httpLibraries {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, failures := range []int{0, attempts - 1, attempts} {
					l.testFailures(t, failures)
				}
				l.testOpen(t)
				l.testLimit(t)
			})
		})
	}
}

// testFailures has the server fail a number of times.
func (l httpLibrary) testFailures(t *testing.T, times int) {
	t.Helper()
	if times > 0 && !l.retries {
		return
	}
	requests := 0
	rt := l.create(roundTripper(func(req *http.Request) (*http.Response, error) {
		requests++
		response := answer(req, 200)
		if requests <= times {
			response.StatusCode = 503
		}
		response.Body = io.NopCloser(strings.NewReader("user 7"))
		return response, nil
	}))
	response, err := rt.RoundTrip(newRequestTo(t, "https://api.example.com/users/7"))
	if err != nil {
		t.Fatalf("a server that fails %d times: %v", times, err)
	}
	wantStatus := 200
	if times >= attempts {
		wantStatus = 503
	}
	if body := drain(response); response.StatusCode != wantStatus || body != "user 7" {
		t.Errorf("a server that fails %d times answered %d %q, want %d with the body", times, response.StatusCode, body, wantStatus)
	}
	if want := min(times+1, attempts); requests != want {
		t.Errorf("a server that fails %d times got %d requests, want %d", times, requests, want)
	}
}

func (l httpLibrary) testOpen(t *testing.T) {
	t.Helper()
	if l.open == nil {
		return
	}
	rt, sent := failedTransport(t, l.create, failures-1)
	if err := roundTrip(rt, newRequestTo(t, "https://api.example.com/users/7")); err != nil || *sent != 1 {
		t.Errorf("after %d failures the circuit came to %v and let %d requests pass, want 1", failures-1, err, *sent)
	}
	rt, sent = failedTransport(t, l.create, failures)
	if err := roundTrip(rt, newRequestTo(t, "https://api.example.com/users/7")); !errors.Is(err, l.open) || *sent != 0 {
		t.Errorf("the open circuit came to %v and let %d requests pass, want %v and none", err, *sent, l.open)
	}
}

func (l httpLibrary) testLimit(t *testing.T) {
	t.Helper()
	if !l.limits {
		return
	}
	var took time.Duration
	rt := l.create(roundTripper(func(req *http.Request) (*http.Response, error) {
		if took != 0 {
			return answer(req, 200), nil // to be done with it
		}
		start := time.Now()
		<-req.Context().Done()
		took = time.Since(start)
		return nil, context.Cause(req.Context())
	}))
	response, err := rt.RoundTrip(newRequestTo(t, "https://api.example.com/users/7"))
	drain(response)
	if took != limit || err != nil {
		t.Errorf("an attempt that hangs was ended after %v, with %v, want %v, and another attempt", took, err, limit)
	}
}
