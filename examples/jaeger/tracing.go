package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// A tracing has the spans of services sent to Jaeger.
type tracing struct {
	endpoint  string
	reached   bool // whether somebody listens there
	found     *finder
	providers []*sdktrace.TracerProvider
}

func newTracing(ctx context.Context) (*tracing, error) {
	t := &tracing{
		endpoint: cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://localhost:4317"),
		found:    newFinder(),
	}
	u, err := url.Parse(t.endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("invalid OTEL_EXPORTER_OTLP_ENDPOINT %q: want a URL such as http://localhost:4317", t.endpoint)
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "4317")))
	if err == nil {
		_ = conn.Close()
		t.reached = true
	}
	return t, nil
}

// provider returns one for the spans of a service. Where they go besides Jaeger is up to
// the caller.
func (t *tracing) provider(ctx context.Context, service string, others ...sdktrace.SpanProcessor) (*sdktrace.TracerProvider, error) {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(resource.NewSchemaless(semconv.ServiceName(service)))}
	for _, processor := range others {
		options = append(options, sdktrace.WithSpanProcessor(processor))
	}
	if t.reached {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(t.endpoint))
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter, sdktrace.WithBatchTimeout(time.Second)))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.providers = append(t.providers, provider)
	return provider, nil
}

// close sends what has not been sent yet.
func (t *tracing) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var errs []error
	for _, provider := range t.providers {
		if err := provider.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("traces were not all sent to %s: %w", t.endpoint, err))
		}
	}
	return errors.Join(errs...)
}
