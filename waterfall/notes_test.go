package waterfall_test

import (
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

func TestFormatNotes(t *testing.T) {
	str := attribute.String
	failed := sdktrace.Status{Code: codes.Error, Description: "declined"}
	tests := []struct {
		name   string
		kind   trace.SpanKind
		status sdktrace.Status
		attrs  []attribute.KeyValue
		want   string
	}{
		{name: "nothing special"},
		{name: "GET", kind: trace.SpanKindClient, attrs: []attribute.KeyValue{status(404)}, want: "CLIENT 404"},
		{name: "GET", kind: trace.SpanKindClient, attrs: []attribute.KeyValue{status(503), errorType("503")}, want: "CLIENT 503"},
		{name: "charge", status: failed, want: "✗ declined"},
		{name: "charge", status: failed, attrs: []attribute.KeyValue{errorType("card")}, want: "✗ card"},
		{name: "timeout: exceeded", attrs: []attribute.KeyValue{errorType("timeout")}},
		{name: "retry: exhausted", attrs: []attribute.KeyValue{reason("retry", "attempts")}},
		{name: "retry: aborted", attrs: []attribute.KeyValue{reason("retry", "deadline")}, want: "deadline"},
		{name: "retry", attrs: []attribute.KeyValue{reason("retry", "budget")}, want: "budget"},
		{name: "backoff after 503", attrs: []attribute.KeyValue{reason("retry", "503"), delaySource("backoff")}},
		{name: "backoff after 503", attrs: []attribute.KeyValue{reason("retry", "503"), delaySource("retry_after")}, want: "retry_after"},
		{name: "breaker", attrs: []attribute.KeyValue{str("evenkeel.circuit_breaker.outcome", "success"), str("evenkeel.circuit_breaker.state", "half_open")}},
		{name: "breaker: rejected", attrs: []attribute.KeyValue{str("evenkeel.circuit_breaker.outcome", "rejected"), str("evenkeel.circuit_breaker.state", "open")}},
		{name: "breaker: rejected", attrs: []attribute.KeyValue{str("evenkeel.circuit_breaker.outcome", "rejected"), str("evenkeel.circuit_breaker.state", "half_open")}, want: "half_open"},
		{name: "breaker: opened", attrs: []attribute.KeyValue{reason("circuit_breaker.transition", "failure_ratio")}, want: "failure_ratio"},
		{name: "query", attrs: []attribute.KeyValue{str("db.table", "orders"), str("db.secret", "x")}, want: "table=orders"},
		{name: "first", attrs: attempt(1)},
		{name: "a root", attrs: attempt(2)},
	}
	for _, tt := range tests {
		stub := span(1, 0, tt.name, 0, time.Millisecond)
		stub.SpanKind, stub.Status, stub.Attributes = tt.kind, tt.status, tt.attrs
		text := waterfall.Format(tracetest.SpanStubs{stub}.Snapshots(), waterfall.Config{Attributes: []attribute.Key{"db.table"}})
		notes, _, _ := strings.Cut(strings.TrimPrefix(text, tt.name), "1ms")
		if got := strings.Join(strings.Fields(notes), " "); got != tt.want {
			t.Errorf("%s %v: notes are %q, want %q", tt.name, tt.attrs, got, tt.want)
		}
	}
}
