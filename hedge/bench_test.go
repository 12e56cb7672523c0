package hedge_test

import (
	"context"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func TestAllocations(t *testing.T) {
	once := orders
	once.Once = true
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Minute))
	defer cancel()
	slow := hedge.New(hedge.Config{Delay: time.Hour})
	for _, tt := range []struct {
		name string
		ctx  context.Context
		call policy.Call
		p    *hedge.Policy
		runs int
		most float64
	}{
		{"once", t.Context(), once, slow, 1000, 0},
		{"latency unknown", t.Context(), orders, hedge.New(hedge.Config{}), 10, 0},
		{"no time for a hedge", late, orders, slow, 1000, 0},
		{"in time", t.Context(), orders, slow, 1000, 5}, // A context that can end, and a timer.
	} {
		if got := testing.AllocsPerRun(tt.runs, func() { _ = tt.p.Do(tt.ctx, tt.call, succeed) }); got > tt.most {
			t.Errorf("%s: %v allocations per call, want at most %v", tt.name, got, tt.most)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	once := orders
	once.Once = true
	slow := hedge.New(hedge.Config{Delay: time.Hour})
	bench := func(p *hedge.Policy, call policy.Call, next policy.Handler) func(*testing.B) {
		return func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Do(ctx, call, next); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("once", bench(slow, once, succeed))
	b.Run("in time", bench(slow, orders, succeed))
	b.Run("in time, observed delay", bench(hedge.New(hedge.Config{Delay: time.Minute, Quantile: 0.95}), orders, succeed))
	b.Run("hedged", bench(hedge.New(hedge.Config{Delay: time.Microsecond, Budget: retry.Unlimited}), orders, func(ctx context.Context, call policy.Call) error {
		if call.Hedge == 0 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}))
	b.Run("parallel, in time", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := slow.Do(b.Context(), orders, succeed); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}
