package fallback_test

import (
	"context"
	"testing"

	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/policy"
)

func succeed(context.Context, policy.Call) error { return nil }

func TestSuccessAllocatesNothing(t *testing.T) {
	p, ctx := fallback.New(fallback.Config{To: fallback.Value(1)}), t.Context()
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, policy.Call{}, succeed) }); got != 0 {
		t.Errorf("Do() makes %v allocations, want 0", got)
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("success", func(b *testing.B) {
		p, ctx := fallback.New(fallback.Config{To: fallback.Value(1)}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, policy.Call{}, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("used", func(b *testing.B) {
		p, ctx := fallback.New(fallback.Config{To: func(context.Context, policy.Call, error) error { return nil }}), b.Context()
		fail := func(context.Context, policy.Call) error { return errTest }
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, policy.Call{}, fail); err != nil {
				b.Fatal(err)
			}
		}
	})
}
