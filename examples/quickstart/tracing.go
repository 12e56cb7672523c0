package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/evenkeel-go/evenkeel/examples/waterfall"
)

// A tracing has the traces printed, and sent on if the environment says where.
type tracing struct {
	provider *sdktrace.TracerProvider
	printed  buffer
}

func newTracing(ctx context.Context) (*tracing, error) {
	t := new(tracing)
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("quickstart"))),
		sdktrace.WithSpanProcessor(waterfall.New(&t.printed, waterfall.Config{Width: columns(), Color: colored()})),
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" {
		exporter, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	}
	t.provider = sdktrace.NewTracerProvider(options...)
	return t, nil
}

// close sends on what has not been sent yet.
func (t *tracing) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart: traces were not sent:", err)
	}
}

// columns returns the width of the terminal, if the shell tells it.
func columns() int {
	n, _ := strconv.Atoi(os.Getenv("COLUMNS"))
	return n
}

// colored reports whether standard output can show colors.
func colored() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
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
