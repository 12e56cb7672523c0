package pipeline

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"
	"weak"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/evenkeel-go/evenkeel/policy"
)

// meters measure the calls of a pipeline. There is one of them for a pipeline
// and all copies of it that report to the same provider.
type meters struct {
	provider metric.MeterProvider
	meter    metric.Meter
	pipeline attribute.KeyValue

	calls    metric.Float64Histogram
	byError  *labels
	requests metric.Float64Histogram
	byAnswer *labels

	gauges map[string]metric.Float64Observable // by name
	gauged []policy.Policy                     // those that have gauges
}

// seconds are bounds of histograms that fit what goes over networks, those of
// the semantic conventions for HTTP.
var seconds = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

func newMeters(provider metric.MeterProvider, p *Pipeline) *meters {
	m := &meters{
		provider: provider,
		meter:    provider.Meter(scope, metric.WithInstrumentationVersion(version()), metric.WithSchemaURL(semconv.SchemaURL)),
		pipeline: attribute.String("evenkeel.pipeline.name", p.name),
	}
	m.calls = m.histogram("evenkeel.pipeline.duration", "Duration of calls, with all that policies do about them.")
	m.byError = newLabels(m.pipeline).by("error.type")
	m.requests = m.histogram("http.client.request.duration", "Duration of HTTP client requests.")
	m.byAnswer = newLabels().by("http.request.method", "server.address", "server.port", "http.response.status_code", "error.type")
	m.observe(p)
	return m
}

func (m *meters) histogram(name, description string) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), seconds)
	return made(h, err, metric.Float64Histogram(noop.Float64Histogram{}))
}

func (m *meters) counter(name, unit, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(c, err, metric.Int64Counter(noop.Int64Counter{}))
}

// made returns an instrument, or another one if that could not be made.
func made[T any](instrument T, err error, instead T) T {
	if err != nil {
		otel.Handle(err)
		return instead
	}
	return instrument
}

// live reports whether anybody wants to know.
func (m *meters) live(ctx context.Context) bool { return m.calls.Enabled(ctx) }

// called takes down a call that has ended.
func (m *meters) called(ctx context.Context, took time.Duration, err error) {
	errorType := ""
	if err != nil && !left(ctx, err) {
		errorType = policy.ErrorType(err)
	}
	m.calls.Record(ctx, took.Seconds(), m.byError.of(errorType).record...)
}

// sent takes down a request on the wire that has been answered, or will not be.
func (m *meters) sent(ctx context.Context, took time.Duration, req *http.Request, response *http.Response, errorType string) {
	method, _ := knownMethod(req.Method)
	status := ""
	if response != nil {
		status = strconv.Itoa(response.StatusCode)
	}
	l := m.byAnswer.of(method, req.URL.Hostname(), cmp.Or(req.URL.Port(), defaultPorts[req.URL.Scheme]), status, errorType)
	m.requests.Record(ctx, took.Seconds(), l.record...)
}

// observe has the provider ask for the gauges of p's policies.
//
// The provider keeps what it asks for ever, so it must not be what keeps m, and
// with it the policies, in memory.
func (m *meters) observe(p *Pipeline) {
	m.gauges = make(map[string]metric.Float64Observable)
	var observables []metric.Observable
	for _, each := range p.policies {
		list, ok := each.(gauged)
		if !ok {
			continue
		}
		m.gauged = append(m.gauged, each)
		for g := range list.Gauges() {
			name := gaugeName(each, g)
			if _, ok := m.gauges[name]; ok {
				continue
			}
			observable, err := m.observable(name, g.Unit)
			if err != nil {
				otel.Handle(err)
				continue
			}
			m.gauges[name] = observable
			observables = append(observables, observable)
		}
	}
	if len(observables) == 0 {
		return
	}
	weakly := weak.Make(m)
	registration, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if m := weakly.Value(); m != nil {
			m.report(o)
		}
		return nil
	}, observables...)
	if err != nil {
		otel.Handle(err)
		return
	}
	runtime.AddCleanup(m, func(r metric.Registration) { _ = r.Unregister() }, registration)
}

type gauged interface {
	Gauges() iter.Seq[policy.Gauge]
}

// observable returns an instrument of the kind that fits the unit: counts of
// things add up over replicas, and other figures do not.
func (m *meters) observable(name, unit string) (metric.Float64Observable, error) {
	if strings.HasPrefix(unit, "{") {
		return m.meter.Float64ObservableUpDownCounter(name, metric.WithUnit(unit))
	}
	return m.meter.Float64ObservableGauge(name, metric.WithUnit(unit))
}

func gaugeName(p policy.Policy, g policy.Gauge) string {
	return "evenkeel." + namespaceOf(kindOf(p)) + "." + g.Name
}

// report reports the present values of all gauges.
func (m *meters) report(o metric.Observer) {
	for _, p := range m.gauged {
		for g := range p.(gauged).Gauges() {
			if observable := m.gauges[gaugeName(p, g)]; observable != nil && !math.IsNaN(g.Value) {
				attrs := append(attributes(kindOf(p), g.Attrs), m.pipeline, attribute.String("evenkeel.policy.name", p.Name()))
				o.ObserveFloat64(observable, g.Value, metric.WithAttributes(attrs...))
			}
		}
	}
}

// A meter measures what a policy does in its place in a pipeline.
type meter struct {
	meters *meters

	calls       metric.Int64Counter
	byOutcome   *labels
	events      metric.Int64Counter
	byEvent     *labels
	transitions metric.Int64Counter
	byStates    *labels
	retries     metric.Int64Counter
	byReason    *labels
	delay       metric.Float64Histogram
	here        *labels
	refresh     metric.Float64Histogram
	byRefresh   *labels
}

func newMeter(m *meters, kind, name string) *meter {
	namespace := "evenkeel." + namespaceOf(kind)
	base := newLabels(m.pipeline, attribute.String("evenkeel.policy.name", name))
	own := &meter{
		meters:    m,
		calls:     m.counter(namespace+".calls", "{call}", "Calls by their outcome."),
		byOutcome: base.by(namespace + ".outcome"),
		events:    m.counter("evenkeel.policy.events", "{event}", "Decisions of policies."),
		byEvent:   base.by("evenkeel.event.name"),
	}
	switch kind {
	case "breaker":
		own.transitions = m.counter(namespace+".transitions", "{transition}", "Changes of the state of circuits.")
		own.byStates = base.by(namespace+".state", namespace+".new_state")
	case "retry":
		own.retries = m.counter(namespace+".retries", "{retry}", "Attempts after the first, by what the one before failed with.")
		own.byReason = base.by(namespace + ".reason")
		own.delay = m.histogram(namespace+".delay", "Delays before attempts after the first.")
		own.here = base.by()
	case "auth":
		own.refresh = m.histogram(namespace+".token_refresh.duration", "Duration of token requests, with all that is done for them.")
		own.byRefresh = base.by(namespace+".grant_type", namespace+".refresh.reason", namespace+".outcome", "error.type")
	}
	return own
}

// called takes down how a call ended, as the policy sees it.
func (m *meter) called(ctx context.Context, outcome string) {
	if m.calls.Enabled(ctx) {
		m.calls.Add(ctx, 1, m.byOutcome.of(outcome).add...)
	}
}

// decided takes down a decision.
func (m *meter) decided(ctx context.Context, event policy.Event) {
	if !m.events.Enabled(ctx) {
		return
	}
	m.events.Add(ctx, 1, m.byEvent.of(event.Name).add...)
	switch newState := textOf(event.Attrs, "new_state"); {
	case m.transitions != nil && newState != "":
		m.transitions.Add(ctx, 1, m.byStates.of(textOf(event.Attrs, "state"), newState).add...)
	case event.Name == "retry.scheduled" && m.retries != nil:
		m.retries.Add(ctx, 1, m.byReason.of(textOf(event.Attrs, "reason")).add...)
		if delay := durationOf(event.Attrs, "delay"); delay > 0 {
			m.delay.Record(ctx, delay.Seconds(), m.here.of().record...)
		}
	}
}

// refreshed takes down a token request.
func (m *meter) refreshed(ctx context.Context, took time.Duration, attrs []slog.Attr, errorType string) {
	if m.refresh != nil && m.refresh.Enabled(ctx) {
		l := m.byRefresh.of(textOf(attrs, "grant_type"), textOf(attrs, "refresh.reason"), textOf(attrs, "outcome"), errorType)
		m.refresh.Record(ctx, took.Seconds(), l.record...)
	}
}

func valueOf(attrs []slog.Attr, key string) slog.Value {
	for _, attr := range attrs {
		if attr.Key == key {
			return attr.Value.Resolve()
		}
	}
	return slog.Value{}
}

func textOf(attrs []slog.Attr, key string) string {
	if v := valueOf(attrs, key); v.Kind() == slog.KindString {
		return v.String()
	}
	return ""
}

func durationOf(attrs []slog.Attr, key string) time.Duration {
	if v := valueOf(attrs, key); v.Kind() == slog.KindDuration {
		return v.Duration()
	}
	return 0
}
