package retry_test

import (
	"context"
	"io"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func succeed(context.Context, policy.Call) error { return nil }

func TestSuccessAllocatesNothing(t *testing.T) {
	p, ctx := retry.New(retry.Config{}), t.Context()
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, policy.Call{}, succeed) }); got != 0 {
		t.Errorf("Do() makes %v allocations, want 0", got)
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("success", func(b *testing.B) {
		p, ctx := retry.New(retry.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, policy.Call{}, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel success", func(b *testing.B) {
		p := retry.New(retry.Config{})
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := p.Do(b.Context(), policy.Call{}, succeed); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("second attempt", func(b *testing.B) {
		p, ctx := retry.New(retry.Config{InitialInterval: 1, Budget: retry.Unlimited}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			calls := 0
			if err := p.Do(ctx, policy.Call{}, failing(&calls, io.EOF)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
