package ratelimit_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
)

// plenty is enough for a million calls at once.
var plenty = ratelimit.Config{Rate: 1e6, Burst: 1e6}

func TestAllocations(t *testing.T) {
	empty := ratelimit.New(ratelimit.Config{Rate: 1e-6, Burst: 1})
	_ = empty.Do(t.Context(), orders, succeed)
	for _, tt := range []struct {
		name string
		p    *ratelimit.Policy
		want float64
	}{
		{"token", ratelimit.New(plenty), 0},
		{"no token", empty, 1}, // The error.
	} {
		if got := testing.AllocsPerRun(1000, func() { _ = tt.p.Do(t.Context(), orders, succeed) }); got != tt.want {
			t.Errorf("%s: %v allocations per call, want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkDo(b *testing.B) {
	b.Run("token", func(b *testing.B) {
		p, ctx := ratelimit.New(plenty), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				p = ratelimit.New(plenty)
			}
		}
	})
	b.Run("no token", func(b *testing.B) {
		p, ctx := ratelimit.New(ratelimit.Config{Rate: 1e-6, Burst: 1}), b.Context()
		_ = p.Do(ctx, orders, succeed)
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); !errors.Is(err, ratelimit.ErrExceeded) {
				b.Fatal(err)
			}
		}
	})
	b.Run("new keys", func(b *testing.B) {
		p, ctx := ratelimit.New(plenty), b.Context()
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
