package pipeline_test

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// attrs returns a set of attributes from keys and values in turn. Those of the
// conventions are as the conventions have them, ours are strings.
func attrs(keyValues ...any) attribute.Set {
	var kvs []attribute.KeyValue
	for pair := range slices.Chunk(keyValues, 2) {
		key := attribute.Key(pair[0].(string))
		switch value := pair[1].(type) {
		case int:
			kvs = append(kvs, key.Int(value))
		case string:
			kvs = append(kvs, key.String(value))
		}
	}
	return attribute.NewSet(kvs...)
}

// ofPolicy returns the attributes that all metrics of a policy have, and others.
func ofPolicy(name string, keyValues ...any) attribute.Set {
	return attrs(append(keyValues, "evenkeel.pipeline.name", "orders", "evenkeel.policy.name", name)...)
}

// counted returns a data point of a counter.
func counted(n int64, set attribute.Set) metricdata.DataPoint[int64] {
	return metricdata.DataPoint[int64]{Attributes: set, Value: n}
}

func counter(points ...metricdata.DataPoint[int64]) metricdata.Aggregation {
	return metricdata.Sum[int64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
}

// timed returns a data point of a histogram of the given durations, with the
// buckets of the semantic conventions for HTTP.
func timed(set attribute.Set, durations ...time.Duration) metricdata.HistogramDataPoint[float64] {
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	point := metricdata.HistogramDataPoint[float64]{Attributes: set, Bounds: bounds, BucketCounts: make([]uint64, len(bounds)+1)}
	for _, d := range durations {
		bucket, _ := slices.BinarySearch(bounds, d.Seconds())
		point.BucketCounts[bucket]++
		point.Count++
		point.Sum += d.Seconds()
	}
	point.Min = metricdata.NewExtrema(slices.Min(durations).Seconds())
	point.Max = metricdata.NewExtrema(slices.Max(durations).Seconds())
	return point
}

func histogram(points ...metricdata.HistogramDataPoint[float64]) metricdata.Aggregation {
	return metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality}
}

const ms = time.Millisecond

func TestMetrics(t *testing.T) {
	request := func(keyValues ...any) attribute.Set {
		return attrs(append(keyValues, "http.request.method", "GET", "server.address", "api.example.com", "server.port", 443)...)
	}
	tests := []struct {
		name, unit string
		scenario   string
		want       metricdata.Aggregation
	}{
		{"http.client.request.duration", "s", "recovered", histogram(
			timed(request("http.response.status_code", 200), 30*ms),
			timed(request("http.response.status_code", 500, "error.type", "500"), 30*ms),
			timed(request("http.response.status_code", 503, "error.type", "503"), 30*ms),
			timed(request("error.type", "timeout"), 770*ms),
		)},
		{"evenkeel.pipeline.duration", "s", "recovered", histogram(timed(attrs("evenkeel.pipeline.name", "orders"), 3360*ms))},
		{"evenkeel.pipeline.duration", "s", "exhausted", histogram(timed(attrs("evenkeel.pipeline.name", "orders", "error.type", "eof"), 820*ms))},
		{"evenkeel.pipeline.duration", "s", "aborted-canceled", histogram(timed(attrs("evenkeel.pipeline.name", "orders"), 80*ms, 80*ms))},
		{"evenkeel.retry.calls", "{call}", "succeeded", counter(counted(2, ofPolicy("retry", "evenkeel.retry.outcome", "success")))},
		{"evenkeel.retry.calls", "{call}", "failures", counter(
			counted(5, ofPolicy("retry", "evenkeel.retry.outcome", "recovered")),
			counted(1, ofPolicy("retry", "evenkeel.retry.outcome", "not_retryable")),
			counted(1, ofPolicy("retry", "evenkeel.retry.outcome", "success")),
		)},
		{"evenkeel.retry.calls", "{call}", "aborted-budget", counter(counted(1, ofPolicy("retry", "evenkeel.retry.outcome", "budget_exhausted")))},
		{"evenkeel.retry.retries", "{retry}", "recovered", counter(
			counted(1, ofPolicy("retry", "evenkeel.retry.reason", "500")),
			counted(1, ofPolicy("retry", "evenkeel.retry.reason", "503")),
			counted(1, ofPolicy("retry", "evenkeel.retry.reason", "timeout")),
		)},
		{"evenkeel.retry.delay", "s", "recovered", histogram(timed(ofPolicy("retry"), 100*ms, 2*time.Second, 400*ms))},
		{"evenkeel.circuit_breaker.calls", "{call}", "circuit", counter(
			counted(2, ofPolicy("breaker", "evenkeel.circuit_breaker.outcome", "success")),
			counted(3, ofPolicy("breaker", "evenkeel.circuit_breaker.outcome", "failure")),
			counted(2, ofPolicy("breaker", "evenkeel.circuit_breaker.outcome", "rejected")),
		)},
		{"evenkeel.circuit_breaker.calls", "{call}", "circuit-ignores", counter(counted(2, ofPolicy("breaker", "evenkeel.circuit_breaker.outcome", "ignored")))},
		{"evenkeel.circuit_breaker.transitions", "{transition}", "circuit", counter(
			counted(1, ofPolicy("breaker", "evenkeel.circuit_breaker.state", "closed", "evenkeel.circuit_breaker.new_state", "open")),
			counted(2, ofPolicy("breaker", "evenkeel.circuit_breaker.state", "open", "evenkeel.circuit_breaker.new_state", "half_open")),
			counted(1, ofPolicy("breaker", "evenkeel.circuit_breaker.state", "half_open", "evenkeel.circuit_breaker.new_state", "open")),
			counted(1, ofPolicy("breaker", "evenkeel.circuit_breaker.state", "half_open", "evenkeel.circuit_breaker.new_state", "closed")),
		)},
		{"evenkeel.timeout.calls", "{call}", "timeouts", counter(
			counted(1, ofPolicy("total", "evenkeel.timeout.outcome", "completed")),
			counted(2, ofPolicy("attempt", "evenkeel.timeout.outcome", "exceeded")),
		)},
		{"evenkeel.auth.token_refresh.duration", "s", "token-refused", histogram(
			timed(ofPolicy("auth", "evenkeel.auth.grant_type", "refresh_token", "evenkeel.auth.refresh.reason", "missing", "evenkeel.auth.outcome", "refreshed"), 100*ms),
			timed(ofPolicy("auth", "evenkeel.auth.grant_type", "refresh_token", "evenkeel.auth.refresh.reason", "after 401", "evenkeel.auth.outcome", "refreshed"), 100*ms),
		)},
		{"evenkeel.auth.token_refresh.duration", "s", "token-client-refused", histogram(
			timed(ofPolicy("orders-login", "evenkeel.auth.grant_type", "refresh_token", "evenkeel.auth.refresh.reason", "missing", "evenkeel.auth.outcome", "config_error", "error.type", "invalid_client"), 100*ms),
		)},
		{"evenkeel.policy.events", "{event}", "aborted-budget", counter(
			counted(1, ofPolicy("retry", "evenkeel.event.name", "retry.scheduled")),
			counted(1, ofPolicy("retry", "evenkeel.event.name", "retry.aborted")),
		)},
	}
	for _, tt := range tests {
		t.Run(tt.name+", "+tt.scenario, func(t *testing.T) {
			all := scenarios()
			i := slices.IndexFunc(all, func(s scenario) bool { return s.name == tt.scenario })
			got := played(t, all[i]).measured[tt.name]
			if got.Unit != tt.unit || got.Description == "" {
				t.Errorf("unit is %q, description %q, want %q and some", got.Unit, got.Description, tt.unit)
			}
			metricdatatest.AssertAggregationsEqual(t, tt.want, got.Data, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
		})
	}
}

// states returns the wanted numbers of closed, half-open and open circuits.
func states(closed, halfOpen, open float64) metricdata.Aggregation {
	point := func(n float64, state string) metricdata.DataPoint[float64] {
		return metricdata.DataPoint[float64]{Value: n, Attributes: ofPolicy("breaker", "evenkeel.circuit_breaker.state", state)}
	}
	return metricdata.Sum[float64]{DataPoints: []metricdata.DataPoint[float64]{
		point(closed, "closed"), point(halfOpen, "half_open"), point(open, "open"),
	}, Temporality: metricdata.CumulativeTemporality}
}

// A retrier is a policy of another's that is of type retry.
type retrier struct{ policy.Policy }

func (retrier) Type() string { return "retry" }

// What is not waited for is no delay.
func TestMetricOfNoDelay(t *testing.T) {
	at := retrier{policy.New("at once", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		call.Emit(ctx, "retry.scheduled", slog.Duration("delay", 0), slog.String("reason", "eof"))
		return next(ctx, call)
	})}
	p, s := overheard(pipeline.Must(pipeline.New("orders", at)))
	_ = p.Do(t.Context(), policy.Call{}, succeed)
	metrics := collected(t, s.reader)
	want := counter(counted(1, ofPolicy("at once", "evenkeel.retry.reason", "eof")))
	metricdatatest.AssertAggregationsEqual(t, want, metrics["evenkeel.retry.retries"].Data, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	if m, ok := metrics["evenkeel.retry.delay"]; ok {
		t.Errorf("delay is %+v, want none", m.Data)
	}
}

// The states of circuits are true without any traffic.
func TestMetricOfStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := overheard(pipeline.Must(pipeline.New("orders", brittle())))
		want := func(want metricdata.Aggregation) {
			t.Helper()
			got := collected(t, s.reader)["evenkeel.circuit_breaker.status"]
			if got.Unit != "{circuit}" {
				t.Errorf("unit is %q, want {circuit}", got.Unit)
			}
			metricdatatest.AssertAggregationsEqual(t, want, got.Data, metricdatatest.IgnoreTimestamp())
		}
		want(states(0, 0, 0))
		_ = p.Do(t.Context(), policy.Call{Key: "well"}, succeed)
		for range 2 {
			_ = p.Do(t.Context(), policy.Call{Key: "ill"}, func(context.Context, policy.Call) error { return errTest })
		}
		want(states(1, 0, 1))
		time.Sleep(5 * time.Second)
		want(states(1, 1, 0))
		_ = p.Do(t.Context(), policy.Call{Key: "ill"}, succeed)
		want(states(2, 0, 0))
	})
}

// What there is to be said of a token is said without any traffic, and nothing
// is if there is none.
func TestMetricsOfAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t}
		s.set((&login{expiresIn: 60, replies: []string{"", `400 {"error":"invalid_grant"}`}}).policy())
		point := func(value float64) []metricdata.DataPoint[float64] {
			return []metricdata.DataPoint[float64]{{Value: value, Attributes: ofPolicy("auth")}}
		}
		want := func(lost float64, left ...float64) {
			t.Helper()
			metrics := collected(t, s.reader)
			reauth := metricdata.Sum[float64]{DataPoints: point(lost), Temporality: metricdata.CumulativeTemporality}
			metricdatatest.AssertAggregationsEqual(t, reauth, metrics["evenkeel.auth.reauth_required"].Data, metricdatatest.IgnoreTimestamp())
			expires, ok := metrics["evenkeel.auth.token.expires_in"]
			if ok != (len(left) == 1) {
				t.Fatalf("there is a token that expires: %v, want %v", ok, !ok)
			}
			if ok {
				metricdatatest.AssertAggregationsEqual(t, metricdata.Gauge[float64]{DataPoints: point(left[0])}, expires.Data, metricdatatest.IgnoreTimestamp())
			}
		}
		want(0)
		s.get(ok)
		want(0, 60-0.13)
		time.Sleep(time.Hour)
		want(0, 0)
		s.get(ok)
		want(1, 0)
	})
}

// Copies of a pipeline with the same provider are measured as one.
func TestMetricOfStatesOfCopies(t *testing.T) {
	p, s := overheard(pipeline.Must(pipeline.New("orders", brittle())))
	copies := []*pipeline.Pipeline{p, p.WithPlainSpanNames(), p.WithObserver(s.observe)}
	_ = p.Do(t.Context(), policy.Call{Key: "well"}, succeed)
	metricdatatest.AssertAggregationsEqual(t, states(1, 0, 0), collected(t, s.reader)["evenkeel.circuit_breaker.status"].Data, metricdatatest.IgnoreTimestamp())
	runtime.KeepAlive(copies)
}

// A registry is a provider that counts the callbacks that it has to call.
type registry struct {
	metric.MeterProvider
	callbacks atomic.Int32
}

func (r *registry) Meter(name string, options ...metric.MeterOption) metric.Meter {
	return &registryMeter{r.MeterProvider.Meter(name, options...), r}
}

type registryMeter struct {
	metric.Meter
	of *registry
}

func (m *registryMeter) RegisterCallback(f metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	m.of.callbacks.Add(1)
	r, err := m.Meter.RegisterCallback(f, instruments...)
	return registryEntry{r, m.of}, err
}

type registryEntry struct {
	metric.Registration
	of *registry
}

func (e registryEntry) Unregister() error {
	e.of.callbacks.Add(-1)
	return e.Registration.Unregister()
}

func TestMetricsOfAProviderThatIsGivenTwice(t *testing.T) {
	mp := &registry{MeterProvider: sdkmetric.NewMeterProvider()}
	p := pipeline.Must(pipeline.New("orders", breaker.New(breaker.Config{}))).WithMeterProvider(mp)
	q := p.WithMeterProvider(mp)
	if got := mp.callbacks.Load(); got != 1 {
		t.Errorf("%d callbacks, want 1", got)
	}
	runtime.KeepAlive(p)
	runtime.KeepAlive(q)
}

// The provider lives as long as the program. Pipelines need not.
func TestMetricsOfPipelinesThatAreGone(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	mp := &registry{MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}
	has := func() bool {
		_, ok := collected(t, reader)["evenkeel.circuit_breaker.status"]
		return ok
	}
	var freed atomic.Bool
	func() {
		b := breaker.New(breaker.Config{})
		runtime.AddCleanup(b, func(struct{}) { freed.Store(true) }, struct{}{})
		p := pipeline.Must(pipeline.New("orders", b)).WithMeterProvider(mp)
		runtime.GC()
		if !has() || freed.Load() || mp.callbacks.Load() != 1 {
			t.Error("a pipeline that is there is not measured")
		}
		runtime.KeepAlive(p)
	}()
	for range 1000 {
		if freed.Load() && !has() && mp.callbacks.Load() == 0 {
			return
		}
		runtime.GC()
	}
	t.Errorf("after 1000 garbage collections the policy is gone: %v, not measured: %v, with %d callbacks; want both, and none", freed.Load(), !has(), mp.callbacks.Load())
}

// An instrument's name is not just any text, but a policy's may be.
func TestMetricsOfPoliciesWithAnyName(t *testing.T) {
	var complaints []error
	handler := otel.GetErrorHandler()
	t.Cleanup(func() { otel.SetErrorHandler(handler) })
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { complaints = append(complaints, err) }))
	own := policy.New("ours, very slow!", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		call.Emit(ctx, "ours.noticed")
		call.Outcome(ctx, "slow")
		return next(ctx, call)
	})
	p, s := overheard(pipeline.Must(pipeline.New("orders", own)))
	_ = p.Do(t.Context(), policy.Call{}, succeed)
	for _, err := range complaints {
		t.Error(err)
	}
	got := collected(t, s.reader)
	for name, want := range map[string]metricdata.Aggregation{
		"evenkeel.policy.events":          counter(counted(1, ofPolicy("ours, very slow!", "evenkeel.event.name", "ours.noticed"))),
		"evenkeel.ours__very_slow_.calls": counter(counted(1, ofPolicy("ours, very slow!", "evenkeel.ours__very_slow_.outcome", "slow"))),
	} {
		metricdatatest.AssertAggregationsEqual(t, want, got[name].Data, metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars())
	}
}
