package temporal_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	common "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// TestTrace tests that one trace leads from the request that began the run, over the spans
// of Temporal, to each attempt of the pipeline.
func TestTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	ctx, request := tp.Tracer("shop").Start(t.Context(), "POST /orders")
	var keys []string
	env := newEnvironment(t)
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{tracing(t, tp)}})
	env.SetHeader(headerOf(t, ctx))
	if _, _, err := play(t, env, temporal.Config{}, only(traced(tp, &keys)), 1); err != nil {
		t.Fatal(err)
	}
	request.End()
	want := `
POST /orders
  RunWorkflow:place-order
    StartActivity:place-order/charge
      RunActivity:place-order/charge
        HTTP POST
          retry: recovered
            POST
            backoff after 502
            POST
`
	if got := outline(spans.Ended()); got != want {
		t.Errorf("trace\n%s\nwant\n%s", got, want)
	}
	if key := "place-order/17/1"; !slices.Equal(keys, []string{key, key}) {
		t.Errorf("requests with Idempotency-Keys %q, want %s in both", keys, key)
	}
}

// TestTraceThroughTheServer tests the same from the very request on.
func TestTraceThroughTheServer(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	c := newServer(t).dial(t, tracing(t, tp))
	var keys []string
	flow := only(traced(tp, &keys))
	engine := temporal.New(c, "traced", temporal.Config{})
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	ctx, request := tp.Tracer("shop").Start(t.Context(), "POST /orders")
	if _, err := flow.Run(ctx, engine, "17", 1); err != nil {
		t.Fatal(err)
	}
	request.End()
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
	want := `
POST /orders
  StartWorkflow:place-order
    RunWorkflow:place-order
      StartActivity:place-order/charge
        RunActivity:place-order/charge
          HTTP POST
            retry: recovered
              POST
              backoff after 502
              POST
`
	if got := outline(spans.Ended()); got != want {
		t.Errorf("trace\n%s\nwant\n%s", got, want)
	}
}

// traced returns a step that makes a request, which is refused at first, and keeps the
// Idempotency-Keys that the server sees.
func traced(tp trace.TracerProvider, keys *[]string) workflow.Step[int, int] {
	server := roundTripper(func(req *http.Request) (*http.Response, error) {
		*keys = append(*keys, req.Header.Get("Idempotency-Key"))
		status := http.StatusOK
		if len(*keys) == 1 {
			status = http.StatusBadGateway
		}
		return &http.Response{StatusCode: status, Body: http.NoBody, Request: req}, nil
	})
	r := retry.New(retry.Config{InitialInterval: time.Millisecond})
	p := pipeline.Must(pipeline.New("payments", r)).WithTracerProvider(tp)
	c := &http.Client{Transport: p.Transport(server)}
	return workflow.NewStep("charge", nil, func(ctx context.Context, n int) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://payments.example.com/charges", http.NoBody)
		if err != nil {
			return 0, err
		}
		answer, err := c.Do(req)
		if err != nil {
			return 0, err
		}
		return n, answer.Body.Close()
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

func tracing(t *testing.T, tp trace.TracerProvider) interceptor.Interceptor {
	t.Helper()
	i, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{Tracer: tp.Tracer("temporal")})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// headerOf returns the header that Temporal brings the trace of ctx in.
func headerOf(t *testing.T, ctx context.Context) *common.Header {
	t.Helper()
	carrier := make(propagation.MapCarrier)
	propagation.TraceContext{}.Inject(ctx, carrier)
	payload, err := converter.GetDefaultDataConverter().ToPayload(map[string]string(carrier))
	if err != nil {
		t.Fatal(err)
	}
	return &common.Header{Fields: map[string]*common.Payload{"_tracer-data": payload}}
}

// outline returns the names of spans, each indented below its parent, in the order in which
// they began.
func outline(spans []sdktrace.ReadOnlySpan) string {
	children := make(map[trace.SpanID][]sdktrace.ReadOnlySpan)
	for _, s := range spans {
		parent := s.Parent().SpanID()
		if s.Parent().TraceID() != s.SpanContext().TraceID() {
			parent = trace.SpanID{}
		}
		children[parent] = append(children[parent], s)
	}
	var b strings.Builder
	b.WriteByte('\n')
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		slices.SortFunc(children[parent], func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
		for _, s := range children[parent] {
			b.WriteString(indent + s.Name() + "\n")
			write(s.SpanContext().SpanID(), indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return b.String()
}
