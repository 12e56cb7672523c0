package hedge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func TestDelayIsTheObservedQuantile(t *testing.T) {
	for _, quantile := range []float64{0.5, 0.9, 0.95, 0.99} {
		for name, draw := range map[string]func(*rand.Rand) time.Duration{
			"equal":       func(*rand.Rand) time.Duration { return 10 * time.Millisecond },
			"uniform":     func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(int64(time.Second))) },
			"exponential": func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)) },
			"tiny":        func(r *rand.Rand) time.Duration { return time.Duration(r.Int64N(20_000)) },
			"hours":       func(r *rand.Rand) time.Duration { return time.Hour/2 + time.Duration(r.Int64N(int64(time.Hour/4))) },
		} {
			t.Run(fmt.Sprint(name, " ", quantile), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := hedge.New(hedge.Config{Quantile: quantile, Delay: time.Microsecond, Budget: retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1e-9})})
					r := rand.New(rand.NewPCG(1, 2))
					var took []time.Duration
					for range 1000 {
						d := draw(r)
						took = append(took, d)
						observe(t, p, orders, 1, d)
					}
					slices.Sort(took)
					// Within an eighth, and what a share of the calls takes is itself only so
					// certain.
					least := took[int(quantile*980)]
					most := took[min(999, int(quantile*1000)+10)]
					most += most/8 + 2*time.Microsecond
					if got := learnedDelay(t, p, orders); got < least || got > most {
						t.Errorf("delay is %v, want %v to %v", got, least, most)
					}
				})
			})
		}
	}
}

func TestNothingIsHedgedBeforeTheLatencyIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{})
		observe(t, p, orders, 19, time.Second)
		if got := learnedDelay(t, p, orders); got != 0 {
			t.Errorf("delay is %v after 19 calls, want none", got)
		}
		r := new(recorder)
		_ = p.Do(t.Context(), orders.WithRecorder(r), succeed)
		if got, want := r.String(), "reason=latency_unknown; not_hedged"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}
		observe(t, p, orders, 10, time.Second)
		if got := learnedDelay(t, p, orders); got < time.Second || got > time.Second*9/8 {
			t.Errorf("delay is %v after 30 calls, want 1s and an eighth at most", got)
		}
	})
}

func TestDelayIsTheLeastWithAQuantile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{Delay: after, Quantile: 0.95})
		for _, tt := range []struct {
			takes, least, most time.Duration
		}{
			{time.Millisecond, after, after},
			{time.Second, time.Second, time.Second * 9 / 8},
		} {
			if got := learnedDelay(t, p, orders); tt.takes == time.Millisecond && got != after {
				t.Errorf("delay is %v before anything is known, want %v", got, after)
			}
			observe(t, p, orders, 3000, tt.takes)
			if got := learnedDelay(t, p, orders); got < tt.least || got > tt.most {
				t.Errorf("delay is %v for calls of %v, want %v to %v", got, tt.takes, tt.least, tt.most)
			}
		}
	})
}

func TestDelayFollowsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{Budget: retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1e-9})})
		observe(t, p, orders, 20_000, 10*time.Millisecond)
		observe(t, p, orders, 2000, 100*time.Millisecond)
		if got := learnedDelay(t, p, orders); got < 100*time.Millisecond {
			t.Errorf("delay is %v after 2000 slow calls, want it to follow", got)
		}
		observe(t, p, orders, 10_000, 10*time.Millisecond)
		if got := learnedDelay(t, p, orders); got > 12*time.Millisecond {
			t.Errorf("delay is %v after 10000 fast calls, want it to follow", got)
		}
	})
}

// What a hedge has overtaken would have taken longer. If it did not count, the delay
// would get shorter and shorter, and ever more calls would be hedged.
func TestHedgesDoNotShortenTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{Quantile: 0.9, Budget: retry.Unlimited})
		r := rand.New(rand.NewPCG(1, 2))
		hedges := 0
		const calls = 5_000
		for range calls {
			_ = p.Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
				if call.Hedge > 0 {
					hedges++
					return nil // at once
				}
				return policy.Sleep(ctx, time.Duration(r.Int64N(int64(time.Second))))
			})
		}
		if share := float64(hedges) / calls; share > 0.12 || share < 0.05 {
			t.Errorf("%.1f %% of the calls were hedged, want about 10 %%", 100*share)
		}
	})
}

func TestFailuresAreNoMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{})
		observe(t, p, orders, 100, time.Second)
		for range 10_000 { // connection refused, at once
			_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { return errDown })
		}
		if got := learnedDelay(t, p, orders); got < time.Second {
			t.Errorf("delay is %v, want no less than the 1s of the calls that were answered", got)
		}
	})
}

func TestEachNameAndKeyHasItsDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{})
		calls := map[policy.Call]time.Duration{
			{Name: "users.get", Key: "berlin"}:    time.Millisecond,
			{Name: "users.get", Key: "lisbon"}:    10 * time.Millisecond,
			{Name: "reports.make", Key: "lisbon"}: time.Minute,
		}
		for call, takes := range calls {
			observe(t, p, call, 30, takes)
		}
		for call, takes := range calls {
			if got := learnedDelay(t, p, call); got < takes || got > takes*9/8+time.Microsecond {
				t.Errorf("delay of %s in %s is %v, want about %v", call.Name, call.Key, got, takes)
			}
		}
	})
}

func TestWhatIsNotUsedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{})
		used, unused := policy.Call{Key: "used"}, policy.Call{Key: "unused"}
		observe(t, p, used, 30, time.Second)
		observe(t, p, unused, 30, time.Second)
		for i := range 3000 {
			observe(t, p, policy.Call{Key: fmt.Sprint("host", i)}, 1, 0)
			observe(t, p, used, 1, time.Second)
		}
		if got := learnedDelay(t, p, used); got == 0 {
			t.Error("what is used was forgotten")
		}
		if got := learnedDelay(t, p, unused); got != 0 {
			t.Errorf("delay of what was not used is %v, want it forgotten", got)
		}
	})
}

func TestLatencyIsObservedConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 200 {
					_ = p.Do(t.Context(), orders, lasting(time.Second))
				}
			})
		}
		wg.Wait()
		if got := learnedDelay(t, p, orders); got < time.Second || got > time.Second*9/8 {
			t.Errorf("delay is %v, want 1s and an eighth at most", got)
		}
	})
}
