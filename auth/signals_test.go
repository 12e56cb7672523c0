package auth_test

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	lognoop "go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
)

// signals write down the metrics and logs of a pipeline.
type signals struct {
	mu      sync.Mutex
	lines   strings.Builder
	observe []metric.Callback
}

func (s *signals) note(what string, value any, attrs attribute.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(&s.lines, what, value, attrs.Encoded(attribute.DefaultEncoder()))
}

// String returns all that there is, gauges included.
func (s *signals) String() string {
	for _, observe := range s.observe {
		_ = observe(context.Background(), gauges{signals: s})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lines.String()
}

// metrics is the part of signals that is a meter provider.
type metrics struct {
	metricnoop.MeterProvider
	*signals
}

func (m metrics) Meter(string, ...metric.MeterOption) metric.Meter { return meter{signals: m.signals} }

type meter struct {
	metricnoop.Meter
	*signals
}

func (m meter) Float64Histogram(name string, _ ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return histogram{signals: m.signals, name: name}, nil
}

func (m meter) Int64Counter(name string, _ ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return counter{signals: m.signals, name: name}, nil
}

func (m meter) RegisterCallback(f metric.Callback, _ ...metric.Observable) (metric.Registration, error) {
	m.observe = append(m.observe, f)
	return metricnoop.Registration{}, nil
}

type histogram struct {
	metricnoop.Float64Histogram
	*signals
	name string
}

func (h histogram) Enabled(context.Context) bool { return true }

func (h histogram) Record(_ context.Context, value float64, options ...metric.RecordOption) {
	h.note(h.name, value, metric.NewRecordConfig(options).Attributes())
}

type counter struct {
	metricnoop.Int64Counter
	*signals
	name string
}

func (c counter) Enabled(context.Context) bool { return true }

func (c counter) Add(_ context.Context, n int64, options ...metric.AddOption) {
	c.note(c.name, n, metric.NewAddConfig(options).Attributes())
}

type gauges struct {
	metricnoop.Observer
	*signals
}

func (g gauges) ObserveFloat64(_ metric.Float64Observable, value float64, options ...metric.ObserveOption) {
	g.note("gauge", value, metric.NewObserveConfig(options).Attributes())
}

// logs is the part of signals that is a logger provider.
type logs struct {
	lognoop.LoggerProvider
	*signals
}

func (l logs) Logger(string, ...log.LoggerOption) log.Logger { return logger{signals: l.signals} }

type logger struct {
	lognoop.Logger
	*signals
}

func (l logger) Enabled(context.Context, log.EnabledParameters) bool { return true }

func (l logger) Emit(_ context.Context, record log.Record) {
	var attrs []attribute.KeyValue
	record.WalkAttributes(func(kv attribute.KeyValue) bool {
		attrs = append(attrs, kv)
		return true
	})
	l.note("log "+record.EventName(), record.Body().String(), attribute.NewSet(attrs...))
}
