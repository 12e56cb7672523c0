package benchmarks_test

import (
	"errors"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// TestAllocations guards what the report says about allocations of this library.
func TestAllocations(t *testing.T) {
	if raced {
		t.Skip("with the race detector, more is allocated")
	}
	ctx, req := t.Context(), newRequestTo(t, "https://api.example.com/users/7")
	guarded, undelayed, open := newPipeline(interval), newPipeline(0), opened(ctx, newPipeline)
	twice, done := failing(attempts - 1)
	rt, token := newPipelineTransport(answering()), newAuth(&hourly{})
	alone := func(p policy.Policy) func() error {
		guarded := pipelineOf(p)
		return func() error { _, err := guarded(ctx, succeed); return err }
	}
	traced := func(tp trace.TracerProvider) func() error {
		rt := newTracedPipeline(tp, answering(), lasting)
		return func() error { return roundTrip(rt, req) }
	}
	through := func(n int) func() error { return newPassThrough(ctx, n, new(int)) }

	tests := []struct {
		name      string
		most, got float64
	}{
		{"W1 HappyPath", 2, allocations(t, func() error { _, err := guarded(ctx, succeed); return err })},
		{"W3 Failing", 5, allocations(t, func() error { *done = 0; _, err := undelayed(ctx, twice); return err })},
		{"W4 Open", 1, allocations(t, func() error { _, err := open(ctx, succeed); return unless(err, breaker.ErrOpen) })},
		{"W5 RoundTrip", 7, allocations(t, func() error { return roundTrip(rt, req) })},
		{"W6 Tracing, without an SDK, over untraced", 0, allocations(t, traced(noSDK)) - allocations(t, traced(off))},
		{"W7 Alone, timeout", 2, allocations(t, alone(timeout.New(timeout.Config{})))},
		{"W7 Alone, bulkhead", 1, allocations(t, alone(bulkhead.New(bulkhead.Config{})))},
		{"W7 Alone, rate limit", 1, allocations(t, alone(ratelimit.New(ratelimit.Config{Rate: perSecond, Burst: burst})))},
		{"W8 Token", 0, allocations(t, func() error { _, err := token(ctx); return err })},
		{"W10 PassThrough, each further policy", 0, allocations(t, through(16)) - allocations(t, through(1))},
	}
	for _, tt := range tests {
		if tt.got > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, tt.got, tt.most)
		}
	}
}

// allocations returns how many allocations it takes to do something.
func allocations(t *testing.T, do func() error) float64 {
	t.Helper()
	return testing.AllocsPerRun(1000, func() {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	})
}

// unless returns nil if err is the one wanted.
func unless(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("got %w, want %w", err, want)
}
