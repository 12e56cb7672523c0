package auth_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// The trace of a call tells why a token was asked for, and who waited.
func TestAuth44Trace(t *testing.T) {
	tests := []struct {
		name string
		as   *server
		do   func(ctx context.Context, p, untraced *pipeline.Pipeline)
		want string
	}{
		{"after 401", &server{delay: time.Second}, func(ctx context.Context, p, untraced *pipeline.Pipeline) {
			_ = untraced.Do(ctx, testCall, succeed)
			_ = p.Do(ctx, testCall, (&api{refuses: refuse("AT1")}).do)
		}, `
orders.get
  auth
    token refresh: after 401`},
		{"shared", &server{delay: time.Second}, func(ctx context.Context, p, untraced *pipeline.Pipeline) {
			go func() { _ = untraced.Do(ctx, testCall, succeed) }()
			synctest.Wait()
			_ = p.Do(ctx, testCall, succeed)
		}, `
orders.get
  auth
    token wait`},
		{"failed", &server{current: 9}, func(ctx context.Context, p, _ *pipeline.Pipeline) {
			_ = p.Do(ctx, testCall, succeed)
		}, `
orders.get ✗
  auth: failed ✗
    token refresh: missing ✗`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				spans := tracetest.NewSpanRecorder()
				untraced := pipeline.Must(pipeline.New("orders", tt.as.policy())).WithTracerProvider(nil)
				p := untraced.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
				tt.do(t.Context(), p, untraced)
				if got := outline(spans.Ended(), trace.SpanID{}, "\n"); got != tt.want {
					t.Errorf("trace%s\nwant%s", got, tt.want)
				}
			})
		})
	}
}

// outline returns the spans below parent, one a line.
func outline(spans []sdktrace.ReadOnlySpan, parent trace.SpanID, indent string) string {
	spans = slices.SortedStableFunc(slices.Values(spans), func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	var lines strings.Builder
	for _, span := range spans {
		if span.Parent().SpanID() == parent {
			lines.WriteString(indent + span.Name())
			if span.Status().Code == codes.Error {
				lines.WriteString(" ✗")
			}
			lines.WriteString(outline(spans, span.SpanContext().SpanID(), indent+"  "))
		}
	}
	return lines.String()
}

var _ policy.Policy = (*auth.Policy)(nil)
