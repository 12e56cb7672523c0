package examples_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
)

// Those who have otelhttp already keep its spans: one for each request that is
// sent, which tells how often it was sent before, and whose trace context the
// server gets.
func TestOtelhttpBelow(t *testing.T) {
	var received []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received = append(received, r.Header["Traceparent"]...)
		if len(received) < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))

	p := pipeline.Must(pipeline.New("orders", retry.New(retry.Config{InitialInterval: 1}))).WithTracerProvider(tp)
	base := otelhttp.NewTransport(pipeline.MarkResends(server.Client().Transport),
		otelhttp.WithTracerProvider(tp), otelhttp.WithPropagators(propagation.TraceContext{}))
	client := &http.Client{Transport: p.WithoutHTTPSpans().Transport(base)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close() // which ends its span

	var got, sent []string
	for _, span := range spans.Ended() {
		if span.SpanKind() != trace.SpanKindClient {
			continue
		}
		sent = append(sent, fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), span.SpanContext().SpanID()))
		text := span.InstrumentationScope().Name[strings.LastIndex(span.InstrumentationScope().Name, "/")+1:]
		for _, kv := range span.Attributes() {
			switch kv.Key {
			case "http.response.status_code", "http.request.resend_count":
				text += fmt.Sprintf(" %s=%s", kv.Key, kv.Value.String())
			}
		}
		got = append(got, text)
	}
	want := []string{
		"otelhttp http.response.status_code=500",
		"otelhttp http.request.resend_count=1 http.response.status_code=500",
		"otelhttp http.request.resend_count=2 http.response.status_code=200",
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		t.Errorf("spans of requests are\n%q\nwant\n%q", got, want)
	}
	if fmt.Sprint(received) != fmt.Sprint(sent) {
		t.Errorf("the server got trace contexts\n%q\nwant those of the spans\n%q", received, sent)
	}
}
