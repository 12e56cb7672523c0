package pipeline_test

import (
	"context"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// signals are all that pipelines tell of their calls.
type signals struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	logs   *logRecorder

	measured map[string]metricdata.Metrics // by name, at the end of a scenario

	mu     sync.Mutex
	events []policy.Event
}

// recorded returns p with a recorder of its spans.
func recorded(p *pipeline.Pipeline) (*pipeline.Pipeline, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return p.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))).WithPropagator(propagation.TraceContext{}), spans
}

// overheard returns p with recorders of all its signals.
func overheard(p *pipeline.Pipeline) (*pipeline.Pipeline, *signals) {
	s := &signals{reader: sdkmetric.NewManualReader(), logs: &logRecorder{}}
	p, s.spans = recorded(p)
	return p.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))).
		WithLoggerProvider(sdklog.NewLoggerProvider(sdklog.WithProcessor(s.logs))).
		WithObserver(s.observe), s
}

func (s *signals) observe(_ context.Context, event policy.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

// collected returns the metrics that reader reads, by their names.
func collected(t *testing.T, reader sdkmetric.Reader) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.WithoutCancel(t.Context()), &all); err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]metricdata.Metrics)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// A logRecorder keeps what is logged.
type logRecorder struct {
	least log.Severity // that it wants

	mu      sync.Mutex
	records []sdklog.Record
}

func (r *logRecorder) Enabled(_ context.Context, param sdklog.EnabledParameters) bool {
	return param.Severity >= r.least
}

func (r *logRecorder) OnEmit(_ context.Context, record *sdklog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record.Clone())
	return nil
}

func (r *logRecorder) Shutdown(context.Context) error   { return nil }
func (r *logRecorder) ForceFlush(context.Context) error { return nil }
