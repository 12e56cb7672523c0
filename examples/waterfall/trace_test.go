package waterfall_test

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
)

// A step is a span of a test's trace.
type step struct {
	name   string
	took   time.Duration // after its steps
	failed bool
	kind   trace.SpanKind
	attrs  []attribute.KeyValue
	link   string // to the last step of that name
	steps  []step
}

// recovered is a call that needed a new token and three attempts.
var recovered = step{name: "GetOrder", steps: []step{{name: "auth", steps: []step{
	{name: "token refresh: expired", steps: []step{
		send("POST", 11800*us, false, status(200)),
	}},
	{name: "retry: recovered", steps: []step{
		{name: "breaker", steps: []step{{name: "timeout", steps: []step{
			send("GET", 41*ms, true, status(503), errorType("503")),
		}}}},
		{name: "backoff after 503", took: 103 * ms},
		{name: "breaker: opened", attrs: []attribute.KeyValue{reason("circuit_breaker.transition", "failure_ratio")}, steps: []step{{name: "timeout: exceeded", failed: true, attrs: []attribute.KeyValue{policyName("attempt"), errorType("timeout")}, steps: []step{
			send("GET", 500*ms, true, errorType("timeout"), resend(1)),
		}}}},
		{name: "backoff after timeout", took: 261 * ms},
		{name: "breaker: probe succeeded", steps: []step{{name: "timeout", steps: []step{
			send("GET", 38*ms, false, status(200), resend(2)),
		}}}},
	}},
}}}}

// rejected is a call that the breaker rejected, open since [recovered].
var rejected = step{
	name: "GetOrder", failed: true, attrs: []attribute.KeyValue{errorType("circuit_open")},
	steps: []step{{name: "auth", steps: []step{{name: "retry: aborted", attrs: []attribute.KeyValue{reason("retry", "class")}, took: 3 * us, steps: []step{{
		name: "breaker: rejected", took: 21 * us, failed: true,
		attrs: []attribute.KeyValue{errorType("circuit_open")}, link: "breaker: opened",
	}}}}}},
}

func send(method string, took time.Duration, failed bool, attrs ...attribute.KeyValue) step {
	return step{name: method, took: took, failed: failed, kind: trace.SpanKindClient, attrs: attrs}
}

func status(code int) attribute.KeyValue { return attribute.Int("http.response.status_code", code) }
func resend(n int) attribute.KeyValue    { return attribute.Int("http.request.resend_count", n) }
func policyName(s string) attribute.KeyValue {
	return attribute.String("evenkeel.policy.name", s)
}

func reason(of, s string) attribute.KeyValue {
	return attribute.String("evenkeel."+of+".reason", s)
}

func errorType(s string) attribute.KeyValue { return attribute.String("error.type", s) }

// A recorder makes spans of steps, hands them to a processor, and keeps them. In a
// synctest bubble they take exactly as long as they should.
type recorder struct {
	*tracetest.SpanRecorder

	tracer trace.Tracer
	seen   map[string]trace.SpanContext
}

func newRecorder(options ...sdktrace.TracerProviderOption) *recorder {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(append(options, sdktrace.WithSpanProcessor(spans))...)
	return &recorder{spans, tp.Tracer("waterfall_test"), make(map[string]trace.SpanContext)}
}

func (r *recorder) run(ctx context.Context, s step) {
	options := []trace.SpanStartOption{trace.WithSpanKind(s.kind), trace.WithAttributes(s.attrs...)}
	if s.link != "" {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: r.seen[s.link]}))
	}
	ctx, span := r.tracer.Start(ctx, s.name, options...)
	defer span.End()
	r.seen[s.name] = span.SpanContext()
	for _, s := range s.steps {
		r.run(ctx, s)
	}
	time.Sleep(s.took)
	if s.failed {
		span.SetStatus(codes.Error, "")
	}
}
