package pipeline_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// six returns a pipeline whose requests have six spans, that of the request on the
// wire included.
func six() *pipeline.Pipeline {
	source := auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"}))
	return pipeline.Must(pipeline.New("orders",
		auth.New(auth.Config{Source: source}),
		retry.New(retry.Config{}),
		breaker.New(breaker.Config{}),
		timeout.New(timeout.Config{}),
	))
}

// A discard is an exporter that does nothing.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// tracings are the ways in which a request is traced, or not.
func tracings(tb testing.TB) map[string]*pipeline.Pipeline {
	provider := func(sampler sdktrace.Sampler) *sdktrace.TracerProvider {
		tp := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler), sdktrace.WithBatcher(discard{}))
		tb.Cleanup(func() { _ = tp.Shutdown(context.WithoutCancel(tb.Context())) })
		return tp
	}
	return map[string]*pipeline.Pipeline{
		"off":       six().WithTracerProvider(nil).WithMeterProvider(nil).WithLoggerProvider(nil),
		"no SDK":    six(),
		"unsampled": six().WithTracerProvider(provider(sdktrace.NeverSample())),
		"sampled":   six().WithTracerProvider(provider(sdktrace.AlwaysSample())),
	}
}

// requests returns a function that makes a request through p.
func requests(tb testing.TB, p *pipeline.Pipeline) func() {
	rt := p.Transport(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	}))
	req := request(tb, "GET", "https://api.example.com/orders/7", nil)
	return func() {
		response, err := rt.RoundTrip(req)
		if err != nil {
			tb.Fatal(err)
		}
		_ = response.Body.Close()
	}
}

func TestCostOfTracing(t *testing.T) {
	if raced {
		t.Skip("with the race detector, more is allocated")
	}
	allocs := make(map[string]float64)
	for name, p := range tracings(t) {
		allocs[name] = testing.AllocsPerRun(1000, requests(t, p))
	}
	t.Log(allocs)
	for name, most := range map[string]float64{"no SDK": 0, "unsampled": 5, "sampled": 33} {
		if more := allocs[name] - allocs["off"]; more > most {
			t.Errorf("%s: %v allocations more than without tracing, want at most %v", name, more, most)
		}
	}
}

// BenchmarkRequest tells what traces and metrics cost: compare "off" with the
// others, by benchstat -col /signals. Without an SDK a request should take no more
// than twice the time that it takes with everything off.
func BenchmarkRequest(b *testing.B) {
	pipelines := tracings(b)
	pipelines["metrics"] = measured(sdkmetric.NewManualReader())
	for _, name := range slices.Sorted(maps.Keys(pipelines)) {
		b.Run("signals="+name, func(b *testing.B) {
			do := requests(b, pipelines[name])
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}

// measured is six with all metrics and no traces.
func measured(reader sdkmetric.Reader) *pipeline.Pipeline {
	return six().WithTracerProvider(nil).WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
}

// Sets of attributes are made once.
func TestCostOfMetrics(t *testing.T) {
	if raced {
		t.Skip("with the race detector, more is allocated")
	}
	off := testing.AllocsPerRun(1000, requests(t, six().WithTracerProvider(nil)))
	on := testing.AllocsPerRun(1000, requests(t, measured(sdkmetric.NewManualReader())))
	t.Logf("%v allocations, %v without metrics", on, off)
	if on > off+1 { // for the status as text
		t.Errorf("%v allocations, want no more than %v", on, off)
	}
}
