package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/term"

	"github.com/evenkeel-go/evenkeel/examples/waterfall"
)

// A tracing has the traces printed, and sent on if the environment says where.
type tracing struct {
	provider *sdktrace.TracerProvider
	printed  buffer
	endpoint string // where the traces are sent, if anywhere
}

func newTracing(ctx context.Context) (*tracing, error) {
	t := &tracing{endpoint: os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName("quickstart"))),
		sdktrace.WithSpanProcessor(waterfall.New(&t.printed, waterfall.Config{Width: columns(), Color: colored()})),
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

// columns returns the width of the terminal, or of the page that is written to
// instead.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		return n
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		return width
	}
	return 100
}

// colored reports whether standard output can show colors.
func colored() bool {
	return term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
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
