package jaeger_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

const service = "shop"

// A scenario is what happens to some calls. The outline of their traces is in testdata.
type scenario struct {
	name    string
	calls   []time.Duration // when they begin
	answers []int           // of the API, one after the other; for -1 one waits in vain
}

var scenarios = []scenario{
	{"recovered", []time.Duration{0}, []int{503, -1, 200}},
	{"refused", []time.Duration{0, 10 * time.Millisecond}, []int{401, 401, 200, 200}},
	{"opened", []time.Duration{0, time.Second, 6 * time.Second}, []int{500, 500, 500, 200}},
	{"timeout", []time.Duration{0}, []int{-1, -1, -1}},
}

// record plays a scenario, in a bubble so that times are exact, and returns the spans.
func (s scenario) record(t *testing.T) (spans tracetest.SpanStubs) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		tp := sdktrace.NewTracerProvider(
			sdktrace.WithSpanProcessor(recorder),
			sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(service))),
		)
		transport := newPipeline(t).WithTracerProvider(tp).WithPropagator(propagation.TraceContext{}).Transport(&api{answers: s.answers})
		var calls sync.WaitGroup
		for _, begin := range s.calls {
			calls.Go(func() {
				time.Sleep(begin)
				get(t, transport)
			})
		}
		calls.Wait()
		synctest.Wait()
		spans = tracetest.SpanStubsFromReadOnlySpans(recorder.Ended())
	})
	for i := range spans {
		if s := &spans[i]; s.EndTime.Equal(s.StartTime) {
			s.EndTime = s.EndTime.Add(1) // as Jaeger has it, for which nothing takes no time at all
		}
	}
	return spans
}

func newPipeline(t *testing.T) *pipeline.Pipeline {
	t.Helper()
	tokens := auth.New(auth.Config{Source: new(source)})
	if err := tokens.SetToken(t.Context(), &oauth2.Token{AccessToken: "of a login"}); err != nil {
		t.Fatal(err)
	}
	return pipeline.Must(pipeline.New("orders",
		retry.New(retry.Config{Jitter: retry.NoJitter}),
		breaker.New(breaker.Config{ConsecutiveFailures: 3, Probes: 1}),
		tokens,
		timeout.New(timeout.Config{Limit: 200 * time.Millisecond}),
	))
}

func get(t *testing.T, transport http.RoundTripper) {
	ctx := pipeline.WithCallName(t.Context(), "GetOrder")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders/7?key=secret", http.NoBody)
	if err != nil {
		t.Error(err)
		return
	}
	if response, err := transport.RoundTrip(request); err == nil {
		_ = response.Body.Close()
	}
}

// An api answers requests, each after a while.
type api struct {
	mu      sync.Mutex
	answers []int
}

// RoundTrip implements [http.RoundTripper].
func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	code := a.answers[0]
	a.answers = a.answers[1:]
	a.mu.Unlock()
	if code < 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	time.Sleep(30 * time.Millisecond)
	return &http.Response{StatusCode: code, Header: make(http.Header), Body: http.NoBody}, nil
}

// A source makes tokens, which takes a while.
type source struct{ made int } // one at a time

// Token implements [auth.Source].
func (s *source) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	time.Sleep(50 * time.Millisecond)
	s.made++
	return &oauth2.Token{AccessToken: fmt.Sprintf("number %d", s.made), Expiry: time.Now().Add(time.Hour)}, nil
}
