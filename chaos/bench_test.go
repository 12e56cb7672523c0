package chaos_test

import (
	"testing"

	"github.com/evenkeel-go/evenkeel/chaos"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestPassedCallAllocatesNothing(t *testing.T) {
	p, ctx := with(chaos.Fault{Rate: 1e-300, Err: errTest}), t.Context()
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, policy.Call{}, succeed) }); got != 0 {
		t.Errorf("Do() makes %v allocations, want 0", got)
	}
}

func BenchmarkDo(b *testing.B) {
	for name, p := range map[string]*chaos.Policy{
		"without faults": chaos.New(chaos.Config{}),
		"passed":         with(chaos.Fault{Rate: 1e-300, Err: errTest}),
	} {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Do(ctx, policy.Call{}, succeed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
