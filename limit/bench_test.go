package limit_test

import (
	"context"
	"errors"
	"testing"

	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAllocations(t *testing.T) {
	p, ctx := limit.New(limit.Config{}), t.Context()
	if got := testing.AllocsPerRun(1000, func() { _ = p.Do(ctx, orders, succeed) }); got != 0 {
		t.Errorf("a call makes %v allocations, want 0", got)
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("success", func(b *testing.B) {
		p, ctx := limit.New(limit.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel success", func(b *testing.B) {
		p, ctx := limit.New(limit.Config{Min: 1000}), b.Context()
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := p.Do(ctx, orders, succeed); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("rejected", func(b *testing.B) {
		p, ctx := limit.New(limit.Config{Max: 1}), b.Context()
		b.ReportAllocs()
		_ = p.Do(ctx, orders, func(context.Context, policy.Call) error {
			for b.Loop() {
				if err := p.Do(ctx, orders, succeed); !errors.Is(err, limit.ErrExceeded) {
					b.Fatal(err)
				}
			}
			return nil
		})
	})
}
