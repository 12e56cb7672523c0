package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

// A tracing has the traces printed, and sent on if the environment says where.
type tracing struct {
	provider *sdktrace.TracerProvider
	printed  buffer
	endpoint string // where the traces are sent, if anywhere
}

func newTracing(ctx context.Context) (*tracing, error) {
	t := &tracing{endpoint: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")}
	config := waterfall.Terminal(os.Stdout)
	config.TraceIDs = true // as some traces link to others
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("quickstart"))),
		sdktrace.WithSpanProcessor(waterfall.New(&t.printed, config)),
	}
	if t.endpoint != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	return t, nil
}

// close sends on what has not been sent yet, and says where to.
func (t *tracing) close(w io.Writer) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces were not sent to OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	if t.endpoint != "" {
		fmt.Fprintf(w, "\nThe traces were sent to %s, as those of the service quickstart.\n", t.endpoint)
	}
	return nil
}

// A buffer is a [bytes.Buffer] that is safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// take empties the buffer and returns what was in it.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.buf.Reset()
	return b.buf.String()
}
