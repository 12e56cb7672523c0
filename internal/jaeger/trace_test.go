package jaeger_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/internal/jaeger"
)

// Whatever the protocol, Jaeger shows the traces that the program has recorded.
func TestTraces(t *testing.T) {
	j := jaeger.Run(t)
	grpc, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpointURL(j.GRPC))
	if err != nil {
		t.Fatal(err)
	}
	http, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(j.HTTP))
	if err != nil {
		t.Fatal(err)
	}
	for protocol, exporter := range map[string]*otlptrace.Exporter{"grpc": grpc, "http": http} {
		defer func() { _ = exporter.Shutdown(t.Context()) }()
		for _, s := range scenarios {
			t.Run(protocol+"/"+s.name, func(t *testing.T) {
				recorded := s.record(t)
				if got, want := outline(recorded, false), golden(t, s.name); got != want {
					t.Errorf("recorded\n%s\nwant\n%s", got, want)
				}
				if err := exporter.ExportSpans(t.Context(), recorded.Snapshots()); err != nil {
					t.Fatal(err)
				}
				got, want := outline(stored(t, j, recorded), true), outline(recorded, true)
				if got != want {
					t.Errorf("Jaeger has\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stored returns what Jaeger has of the traces of spans.
func stored(t *testing.T, j *jaeger.Server, spans tracetest.SpanStubs) tracetest.SpanStubs {
	t.Helper()
	traces := make(map[trace.TraceID]bool)
	for _, s := range spans {
		traces[s.SpanContext.TraceID()] = true
	}
	var stored tracetest.SpanStubs
	for id := range traces {
		stubs, err := j.Trace(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, stubs...)
	}
	return stored
}

func TestOperations(t *testing.T) {
	j := jaeger.Run(t)
	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpointURL(j.GRPC))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = exporter.Shutdown(t.Context()) }()
	recorded := scenarios[0].record(t)
	if err := exporter.ExportSpans(t.Context(), recorded.Snapshots()); err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, s := range recorded {
		names[s.Name] = true
	}
	services, err := j.Services(t.Context())
	if want := []string{service}; err != nil || !slices.Equal(services, want) {
		t.Errorf("Services() = %q, %v, want %q", services, err, want)
	}
	operations, err := j.Operations(t.Context(), service)
	slices.Sort(operations)
	if want := slices.Sorted(maps.Keys(names)); err != nil || !slices.Equal(operations, want) {
		t.Errorf("Operations() = %q, %v, want %q", operations, err, want)
	}
}
