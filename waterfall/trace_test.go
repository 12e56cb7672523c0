package waterfall_test

import (
	"context"
	"encoding/binary"
	"sync/atomic"
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
		{name: "breaker", attrs: attempt(1), steps: []step{{name: "timeout", attrs: attempt(1), steps: []step{
			send("GET", 41*ms, true, status(503), errorType("503")),
		}}}},
		{name: "backoff after 503", took: 103 * ms, attrs: []attribute.KeyValue{delaySource("retry_after")}},
		{name: "breaker: opened", attrs: append(attempt(2), reason("circuit_breaker.transition", "failure_ratio")), steps: []step{{name: "timeout: exceeded", failed: true, attrs: append(attempt(2), policyName("attempt"), errorType("timeout")), steps: []step{
			send("GET", 500*ms, true, errorType("timeout"), resend(1)),
		}}}},
		{name: "backoff after timeout", took: 261 * ms, attrs: []attribute.KeyValue{delaySource("backoff")}},
		{name: "breaker: probe succeeded", attrs: attempt(3), steps: []step{{name: "timeout", attrs: attempt(3), steps: []step{
			send("GET", 38*ms, false, status(200), resend(2)),
		}}}},
	}},
}}}}

// rejected is a call that the breaker rejected, open since [recovered].
var rejected = step{
	name: "GetOrder", failed: true, attrs: []attribute.KeyValue{errorType("circuit_open")},
	steps: []step{{name: "auth", steps: []step{{name: "retry: aborted", attrs: []attribute.KeyValue{reason("retry", "class")}, took: 3 * us, steps: []step{{
		name: "breaker: rejected", took: 21 * us, failed: true,
		attrs: []attribute.KeyValue{errorType("circuit_open"), attribute.String("evenkeel.circuit_breaker.outcome", "rejected"), attribute.String("evenkeel.circuit_breaker.state", "open")}, link: "breaker: opened",
	}}}}}},
}

// proactive is a token request that nobody waited for, set going by a call.
var proactive = step{name: "token refresh: proactive", link: "auth", steps: []step{
	send("POST", 8*ms, false, status(200)),
}}

func send(method string, took time.Duration, failed bool, attrs ...attribute.KeyValue) step {
	return step{name: method, took: took, failed: failed, kind: trace.SpanKindClient, attrs: attrs}
}

func status(code int) attribute.KeyValue { return attribute.Int("http.response.status_code", code) }
func resend(n int) attribute.KeyValue    { return attribute.Int("http.request.resend_count", n) }
func delaySource(s string) attribute.KeyValue {
	return attribute.String("evenkeel.retry.delay.source", s)
}

func attempt(n int) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.Int("evenkeel.attempt", n)}
}

func policyName(s string) attribute.KeyValue {
	return attribute.String("evenkeel.policy.name", s)
}

func reason(of, s string) attribute.KeyValue {
	return attribute.String("evenkeel."+of+".reason", s)
}

func errorType(s string) attribute.KeyValue { return attribute.String("error.type", s) }

// A recorder makes spans of steps, hands them to a processor, and keeps them. In a
// synctest bubble they take exactly as long as they should. Identifiers count from 1.
type recorder struct {
	*tracetest.SpanRecorder

	tracer trace.Tracer
	seen   map[string]trace.Span
}

func newRecorder(options ...sdktrace.TracerProviderOption) *recorder {
	spans := tracetest.NewSpanRecorder()
	options = append(options, sdktrace.WithSpanProcessor(spans), sdktrace.WithIDGenerator(new(counter)))
	tp := sdktrace.NewTracerProvider(options...)
	return &recorder{spans, tp.Tracer("waterfall_test"), make(map[string]trace.Span)}
}

// A counter makes identifiers.
type counter struct{ traces, spans atomic.Uint64 }

func (c *counter) NewIDs(ctx context.Context) (id trace.TraceID, _ trace.SpanID) {
	binary.BigEndian.PutUint64(id[8:], c.traces.Add(1))
	return id, c.NewSpanID(ctx, id)
}

func (c *counter) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], c.spans.Add(1))
	return id
}

func (r *recorder) run(ctx context.Context, s step) {
	options := []trace.SpanStartOption{trace.WithSpanKind(s.kind), trace.WithAttributes(s.attrs...)}
	if s.link != "" {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: r.seen[s.link].SpanContext()}))
	}
	ctx, span := r.tracer.Start(ctx, s.name, options...)
	defer span.End()
	r.seen[s.name] = span
	for _, s := range s.steps {
		r.run(ctx, s)
	}
	time.Sleep(s.took)
	if s.failed {
		span.SetStatus(codes.Error, "")
	}
}
