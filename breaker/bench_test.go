package breaker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAllocations(t *testing.T) {
	closed := breaker.New(breaker.Config{})
	slow := breaker.New(breaker.Config{SlowCall: time.Hour})
	open := breaker.New(breaker.Config{OpenFor: time.Hour})
	trip(t, open)
	forced := breaker.New(breaker.Config{})
	forced.ForceClosed(orders.Key)
	ctx := t.Context()

	tests := []struct {
		name string
		p    *breaker.Policy
		next policy.Handler
		want float64
	}{
		{"closed", closed, succeed, 0},
		{"closed, says nothing", closed, neutral, 0},
		{"closed, watched for slow calls", slow, succeed, 0},
		{"forced closed", forced, succeed, 0},
		{"open", open, succeed, 0},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(1000, func() { _ = tt.p.Do(ctx, orders, tt.next) }); got != tt.want {
			t.Errorf("%s: %v allocations per call, want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("closed", func(b *testing.B) {
		p, ctx := breaker.New(breaker.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("closed, watched for slow calls", func(b *testing.B) {
		p, ctx := breaker.New(breaker.Config{SlowCall: time.Hour}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("failing", func(b *testing.B) {
		p, ctx := breaker.New(breaker.Config{MinCalls: 1 << 30, ConsecutiveFailures: 1 << 30}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, fail); err == nil {
				b.Fatal("want an error")
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		p, ctx := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Hour}), b.Context()
		_ = p.Do(ctx, orders, fail)
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); !errors.Is(err, breaker.ErrOpen) {
				b.Fatal(err)
			}
		}
	})
	b.Run("new keys", func(b *testing.B) {
		p, ctx := breaker.New(breaker.Config{}), b.Context()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if err := p.Do(ctx, policy.Call{Key: fmt.Sprint(i)}, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDoParallel(b *testing.B) {
	bench := func(key func(worker int) string) func(*testing.B) {
		return func(b *testing.B) {
			p, ctx := breaker.New(breaker.Config{}), b.Context()
			b.ReportAllocs()
			workers := make(chan int, 1024)
			for i := range cap(workers) {
				workers <- i
			}
			b.RunParallel(func(pb *testing.PB) {
				call := policy.Call{Key: key(<-workers)}
				for pb.Next() {
					if err := p.Do(ctx, call, succeed); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	b.Run("one key", bench(func(int) string { return "orders" }))
	b.Run("a key each", bench(func(worker int) string { return fmt.Sprint("host", worker) }))
}
