package throttle_test

import (
	"errors"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/throttle"
)

func TestAllocations(t *testing.T) {
	p, busy, ctx := throttle.New(throttle.Config{}), throttle.New(throttle.Config{K: 1.000001}), t.Context()
	repeat(t, 1000, busy, succeed)
	repeat(t, 10, busy, refuse)
	tests := []struct {
		name string
		p    *throttle.Policy
		next policy.Handler
	}{
		{"accepted", p, succeed},
		{"ignored", p, ignore},
		{"accepted while others are refused", busy, succeed},
	}
	for _, tt := range tests {
		if got := testing.AllocsPerRun(1000, func() { _ = tt.p.Do(ctx, orders, tt.next) }); got != 0 {
			t.Errorf("%s: %v allocations per call, want 0", tt.name, got)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("accepted", func(b *testing.B) {
		p, ctx := throttle.New(throttle.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel accepted", func(b *testing.B) {
		p, ctx := throttle.New(throttle.Config{}), b.Context()
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
		p, ctx := throttle.New(throttle.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, refuse); !errors.Is(err, throttle.ErrOverloaded) && !errors.Is(err, errBusy) {
				b.Fatal(err)
			}
		}
	})
}
