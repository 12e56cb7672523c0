package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/internal/jaeger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is printed at the end is to be found in Jaeger.
func TestRun(t *testing.T) {
	j := jaeger.Run(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", j.GRPC)
	var out output
	if err := run(t.Context(), &out, config{duration: cycle, rps: 10, ui: j.URL}); err != nil {
		t.Fatalf("run() = %v after\n%s", err, &out)
	}

	services, err := j.Services(t.Context())
	slices.Sort(services)
	if want := []string{"frontend", "login", "orders"}; err != nil || !slices.Equal(services, want) {
		t.Errorf("Services() = %q, %v, want %q", services, err, want)
	}
	operations, err := j.Operations(t.Context(), "frontend")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"retry: recovered", "backoff after 503", "backoff after timeout", "backoff after connect", "timeout: exceeded",
		"token refresh: missing", "token refresh: after 401", "token refresh: expired", "token wait",
		"breaker: opened", "breaker: rejected", "breaker: probe failed", "breaker: probe succeeded",
	} {
		if !slices.Contains(operations, want) {
			t.Errorf("Jaeger has no operation %q, only %q", want, operations)
			continue
		}
		if spans := printed(t, &out, j, want); !slices.ContainsFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == want }) {
			t.Errorf("the trace printed for %q has no such span", want)
		}
	}
	checkJoined(t, printed(t, &out, j, "token refresh: after 401"))
}

// checkJoined checks that what the servers saw of a call is below the requests that the
// frontend sent, in the trace that begins with the request to the frontend.
func checkJoined(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	byID := make(map[trace.SpanID]string)
	for _, s := range spans {
		byID[s.SpanContext.SpanID()] = describe(s)
	}
	got := make(map[string]bool)
	for _, s := range spans {
		if s.SpanKind == trace.SpanKindServer {
			got[byID[s.Parent.SpanID()]+" > "+describe(s)] = true
		}
	}
	want := []string{
		" > frontend server GET /orders/{id}",
		"frontend client GET > orders server GET",
		"frontend client GET > orders server GET /orders/{id}",
		"frontend client POST > login server POST /oauth/token",
	}
	if got := slices.Sorted(maps.Keys(got)); !slices.Equal(got, want) {
		t.Errorf("the servers saw %q, want %q", got, want)
	}
}

// describe returns the service, the kind and the name of a span.
func describe(s tracetest.SpanStub) string {
	service, _ := s.Resource.Set().Value("service.name")
	return fmt.Sprintf("%s %v %s", service.AsString(), s.SpanKind, s.Name)
}

// printed returns the trace that out has the URL of, beside the name of an operation.
func printed(t *testing.T, out *output, j *jaeger.Server, operation string) tracetest.SpanStubs {
	t.Helper()
	_, after, _ := strings.Cut(out.String(), "\n  "+operation+" ")
	line, _, _ := strings.Cut(after, "\n")
	_, hex, found := strings.Cut(line, j.URL+"/trace/")
	id, err := trace.TraceIDFromHex(hex)
	if !found || err != nil {
		t.Fatalf("no trace is printed for %q in\n%s", operation, out)
	}
	spans, err := j.Trace(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return spans
}

func TestRunWithoutJaeger(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	endpoint := "http://" + listener.Addr().String()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
	var out output
	if err := run(t.Context(), &out, config{duration: 1500 * time.Millisecond, rps: 20, ui: "http://ui"}); err != nil {
		t.Fatalf("run() = %v after\n%s", err, &out)
	}
	for _, want := range []string{docker, "Nobody listens at " + endpoint, "the orders API answers 503", "token refresh: missing", "retry: recovered"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "/trace/") {
		t.Errorf("traces that were not sent are referred to in\n%s", &out)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	err := run(t.Context(), io.Discard, config{duration: 0, rps: 1001})
	if got, want := fmt.Sprint(err), "invalid -duration 0s: want more than 0\ninvalid -rps 1001: want 1 to 1000"; got != want {
		t.Errorf("run() = %q, want %q", got, want)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
	if err := run(t.Context(), io.Discard, config{duration: 1, rps: 1}); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("run() = %v, want an error that names OTEL_EXPORTER_OTLP_ENDPOINT", err)
	}
}

// An output is a [bytes.Buffer] that is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
