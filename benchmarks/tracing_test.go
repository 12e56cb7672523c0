package benchmarks_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A tracedTransport is traced by tp.
type tracedTransport func(tp trace.TracerProvider, base http.RoundTripper, source oauth2.TokenSource) http.RoundTripper

var tracedTransports = []struct {
	name   string
	create tracedTransport
}{
	{ours, newTracedPipeline},
	{"hand-written", newTracedByHand},
}

func newTracedPipeline(tp trace.TracerProvider, base http.RoundTripper, source oauth2.TokenSource) http.RoundTripper {
	p := pipeline.Must(pipeline.New("users",
		retry.New(retry.Config{MaxAttempts: attempts, InitialInterval: interval}),
		breaker.New(breaker.Config{ConsecutiveFailures: failures, FailureRatio: 1, OpenFor: openFor}),
		auth.New(auth.Config{Source: auth.FromTokenSource(source)}),
		timeout.New(timeout.Config{Limit: limit}),
	))
	switch tp {
	case noSDK: // as it comes
	case off:
		p = p.WithTracerProvider(nil).WithMeterProvider(nil).WithLoggerProvider(nil) // so that nothing at all is left
	default:
		p = p.WithTracerProvider(tp)
	}
	return p.Transport(base)
}

// discarding has spans end up nowhere.
type discarding struct{}

func (discarding) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discarding) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discarding) Shutdown(context.Context) error                  { return nil }
func (discarding) ForceFlush(context.Context) error                { return nil }

var (
	off   trace.TracerProvider = noop.NewTracerProvider()
	noSDK                      = otel.GetTracerProvider()
)

func sampling(sampler sdktrace.Sampler) trace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithSpanProcessor(discarding{}))
}

// tracings are from cheap to dear.
var tracings = []struct {
	name     string
	provider trace.TracerProvider
}{
	{"off", off},
	{"no-SDK", noSDK},
	{"unsampled", sampling(sdktrace.NeverSample())},
	{"sampled", sampling(sdktrace.AlwaysSample())},
}

// lasting is a token that does not expire.
var lasting = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})

// BenchmarkTracing has requests answered at once that six spans tell of. It is W6 of the report.
func BenchmarkTracing(b *testing.B) {
	for _, tracing := range tracings {
		for _, traced := range tracedTransports {
			b.Run(traced.name+"/"+tracing.name, func(b *testing.B) {
				rt, req := traced.create(tracing.provider, answering(), lasting), newRequestTo(b, "https://api.example.com/users/7")
				b.ReportAllocs()
				for b.Loop() {
					if err := roundTrip(rt, req); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// TestTracesAreTheSame checks that nobody is fast by telling less.
func TestTracesAreTheSame(t *testing.T) {
	want := ""
	for _, traced := range tracedTransports {
		spans := tracetest.NewSpanRecorder()
		rt := traced.create(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), answering(), lasting)
		req := newRequestTo(t, "https://api.example.com/users/7")
		if err := roundTrip(rt, req); err != nil { // and so the token
			t.Fatal(err)
		}
		spans.Reset()
		if err := roundTrip(rt, req); err != nil {
			t.Fatal(err)
		}
		got := outline(spans.Started(), trace.SpanID{}, "\n")
		if want == "" {
			want = got
			t.Log(want)
		}
		if n := len(spans.Ended()); got != want || n != 6 {
			t.Errorf("%s told in %d spans:%s\nwant 6:%s", traced.name, n, got, want)
		}
	}
}

// outline returns the names and attributes of the spans below a parent.
func outline(spans []sdktrace.ReadWriteSpan, parent trace.SpanID, indent string) string {
	text := ""
	for _, span := range spans {
		if span.Parent().SpanID() != parent {
			continue
		}
		var attrs []string
		for _, attr := range span.Attributes() {
			attrs = append(attrs, fmt.Sprint(attr.Key, "=", attr.Value.AsInterface()))
		}
		slices.Sort(attrs)
		text += fmt.Sprintf("%s%s %v %v, %d events", indent, span.Name(), span.SpanKind(), attrs, len(span.Events()))
		text += outline(spans, span.SpanContext().SpanID(), indent+"  ")
	}
	return text
}
