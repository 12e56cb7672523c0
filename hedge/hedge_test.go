package hedge_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
)

func TestConformance(t *testing.T) {
	for name, config := range map[string]hedge.Config{
		"zero":         {},
		"never hedges": {Delay: time.Hour},
		"hedges":       {Delay: time.Millisecond, MaxHedges: 3, Budget: retry.Unlimited},
	} {
		t.Run(name, func(t *testing.T) {
			policytest.Run(t, func() policy.Policy { return hedge.New(config) })
		})
	}
}

func TestDo(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name     string
		attempts []attempt // with as many hedges
		took     time.Duration
		want     error
		said     string
	}{
		{"in time", []attempt{{50 * ms, nil}, {}}, 50 * ms, nil, "delay=100ms; not_hedged"},
		{"fails in time", []attempt{{50 * ms, errDown}, {}}, 50 * ms, errDown, "delay=100ms; not_hedged"},
		{"hedge wins", []attempt{{time.Hour, nil}, {50 * ms, nil}}, 150 * ms, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.won winner=1; won"},
		{"hedge loses", []attempt{{120 * ms, nil}, {50 * ms, nil}}, 120 * ms, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; lost"},
		{"second hedge wins", []attempt{{time.Hour, nil}, {time.Hour, nil}, {50 * ms, nil}}, 250 * ms, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.started hedges=2 delay=100ms; hedge.won winner=2; won"},
		{"hedges are as slow", []attempt{{time.Hour, nil}, {2 * time.Hour, nil}, {2 * time.Hour, nil}}, time.Hour, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.started hedges=2 delay=100ms; lost"},
		{"an answer that is no success wins", []attempt{{time.Hour, nil}, {50 * ms, errNotFound}}, 150 * ms, errNotFound, "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.won winner=1; won"},
		{"a failure leaves it to the hedge", []attempt{{120 * ms, errDown}, {50 * ms, nil}}, 150 * ms, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.won winner=1; won"},
		{"a hedge that fails leaves it to the first", []attempt{{200 * ms, nil}, {50 * ms, errDown}}, 200 * ms, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; lost"},
		{"no hedge follows a failure", []attempt{{time.Hour, nil}, {50 * ms, errDown}, {}}, time.Hour, nil, "delay=100ms; hedge.started hedges=1 delay=100ms; lost"},
		{"the last failure counts", []attempt{{120 * ms, errDown}, {50 * ms, errBroken}}, 150 * ms, errBroken, "delay=100ms; hedge.started hedges=1 delay=100ms; failed"},
		{"a rejection hides no failure", []attempt{{120 * ms, errDown}, {50 * ms, errFull}}, 150 * ms, errDown, "delay=100ms; hedge.started hedges=1 delay=100ms; failed"},
		{"nor if it comes first", []attempt{{120 * ms, errDown}, {0, errFull}}, 120 * ms, errDown, "delay=100ms; hedge.started hedges=1 delay=100ms; failed"},
		{"all are rejected", []attempt{{120 * ms, errFull}, {50 * ms, errFull}}, 150 * ms, policy.ErrRejected, "delay=100ms; hedge.started hedges=1 delay=100ms; failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := new(recorder)
				took, err := timed(t.Context(), fixed(len(tt.attempts)-1), orders.WithRecorder(r), attempts(tt.attempts...))
				wantCall(t, took, err, tt.took, tt.want)
				if got := r.String(); got != tt.said {
					t.Errorf("policy said %q, want %q", got, tt.said)
				}
			})
		})
	}
}

func TestLosersAreCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var causes [3]error
		err := fixed(2).Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
			if call.Hedge == 1 {
				return policy.Sleep(ctx, time.Second)
			}
			<-ctx.Done()
			causes[call.Hedge] = context.Cause(ctx)
			return errDown
		})
		if err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
		for i, cause := range causes {
			if lost := i != 1; lost != (cause != nil) || lost && (policy.ClassOf(cause) != policy.Canceled || !errors.Is(cause, context.Canceled)) {
				t.Errorf("attempt %d ended with %v, want an error of class Canceled: %v", i, cause, lost)
			}
		}
	})
}

func TestOnceCallsAreNeverHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := hedge.New(hedge.Config{Delay: after, Quantile: 0.5, MaxHedges: 10, Budget: retry.Unlimited})
		call, attempts := orders, 0
		call.Once = true
		for range 100 {
			if err := p.Do(t.Context(), call, func(ctx context.Context, _ policy.Call) error {
				attempts++
				return policy.Sleep(ctx, time.Hour)
			}); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		}
		if attempts != 100 {
			t.Errorf("%d attempts of 100 calls, want one each", attempts)
		}
	})
}

func TestCallerWhoLeavesEndsAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errGone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errGone) })
		r := new(recorder)
		took, err := timed(ctx, fixed(3), orders.WithRecorder(r), lasting(time.Hour))
		wantCall(t, took, err, time.Second, errGone)
		if !r.heard("hedge.started hedges=3 delay=100ms") || !r.heard("failed") {
			t.Errorf("policy said %v, want 3 hedges that failed", r)
		}
	})
}

func TestFailureOutlivesTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		took, err := timed(ctx, fixed(1), orders, func(ctx context.Context, call policy.Call) error {
			if call.Hedge == 0 {
				time.Sleep(2 * after)
				return errDown
			}
			<-ctx.Done()
			return ctx.Err()
		})
		wantCall(t, took, err, time.Second, errDown)
	})
}

// Nothing is left running, so what does not heed its context is waited for.
func TestDoEndsAfterItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := 0
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			running += n
		}
		took, err := timed(t.Context(), fixed(3), orders, func(_ context.Context, call policy.Call) error {
			count(1)
			defer count(-1)
			time.Sleep([]time.Duration{time.Minute, time.Hour, time.Second, 2 * time.Hour}[call.Hedge])
			return nil
		})
		if wantTook := 2*time.Hour + 3*after; took != wantTook || err != nil || running != 0 {
			t.Errorf("Do() = %v after %v with %d attempts under way, want nil after %v with none", err, took, running, wantTook)
		}
	})
}

func TestPanicOfAHedgeReachesTheCaller(t *testing.T) {
	type value struct{ int }
	for name, first := range map[string]attempt{
		"first attempt is slow":  {time.Hour, nil},
		"first attempt succeeds": {after + 1, nil},
		"first attempt fails":    {after + 1, errDown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					if got := recover(); got != (value{7}) {
						t.Errorf("recover() = %v, want the hedge's value", got)
					}
				}()
				err := fixed(1).Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
					if call.Hedge == 1 {
						time.Sleep(1) // until the first attempt has ended, if it does soon
						panic(value{7})
					}
					return attempts(first)(ctx, call)
				})
				t.Errorf("Do() = %v, want a panic", err)
			})
		})
	}
}

func TestGoexitOfAHedgeReachesTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		wg.Go(func() {
			err := fixed(1).Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
				if call.Hedge == 1 {
					runtime.Goexit()
				}
				return policy.Sleep(ctx, time.Hour)
			})
			t.Errorf("Do() = %v, want Goexit", err)
		})
		wg.Wait()
	})
}

// A panic passes through only when the hedges have ended.
func TestPanicOfTheFirstAttemptEndsTheHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		defer func() {
			if got := recover(); got != "first" || !ended {
				t.Errorf("recover() = %v with the hedge ended: %v, want the first attempt's value and true", got, ended)
			}
		}()
		_ = fixed(1).Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
			if call.Hedge == 0 {
				time.Sleep(2 * after)
				panic("first")
			}
			<-ctx.Done()
			time.Sleep(1)
			ended = true
			return ctx.Err()
		})
	})
}

func TestNoHedgeThatCannotMeetTheDeadline(t *testing.T) {
	tests := []struct {
		name     string
		deadline time.Duration
		hedged   bool
	}{
		{"there is no deadline", 0, true},
		{"there is time for it", after + 600*time.Millisecond, true},
		{"less than the usual", after + 400*time.Millisecond, false},
		{"before the delay", after / 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := hedge.New(hedge.Config{Delay: after, Budget: retry.Unlimited})
				for i := range 100 {
					takes := 500 * time.Millisecond
					if i%5 < 2 {
						takes = 0
					}
					observe(t, p, orders, 1, takes)
				}
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				var sends atomic.Int32
				_ = p.Do(ctx, orders, func(ctx context.Context, call policy.Call) error {
					sends.Add(1)
					return policy.Sleep(ctx, time.Minute)
				})
				if hedged := sends.Load() > 1; hedged != tt.hedged {
					t.Errorf("hedged: %v, want %v", hedged, tt.hedged)
				}
			})
		})
	}
}

func TestSecondHedgeMeetsTheDeadlineToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := fixed(3)
		observe(t, p, orders, 100, 80*time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 2*after+after/2)
		defer cancel()
		r := new(recorder)
		_ = p.Do(ctx, orders.WithRecorder(r), lasting(time.Hour))
		if got, want := r.String(), "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.skipped reason=deadline; failed"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}
	})
}

func TestValidate(t *testing.T) {
	for _, config := range []hedge.Config{
		{},
		{Delay: time.Microsecond},
		{Delay: time.Hour, Quantile: 0.99, MaxHedges: 10, Budget: retry.Unlimited},
		{Quantile: 0.5, Budget: retry.NewBudget(retry.BudgetConfig{})},
	} {
		if err := hedge.New(config).Validate(); err != nil {
			t.Errorf("Validate() of %+v = %v, want nil", config, err)
		}
	}
	for want, config := range map[string]hedge.Config{
		"invalid Delay -1s: want 1µs to 1h0m0s":                {Delay: -time.Second},
		"invalid Delay 30ns: want 1µs to 1h0m0s":               {Delay: 30},
		"invalid Quantile 95: want 0.5 to 0.99":                {Quantile: 95},
		"invalid Quantile 0.1: want 0.5 to 0.99":               {Quantile: 0.1, Delay: after},
		"invalid Quantile NaN: want 0.5 to 0.99":               {Quantile: math.NaN()},
		"invalid MaxHedges -1: want 1 to 10":                   {MaxHedges: -1},
		"invalid MaxHedges 11: want 1 to 10":                   {MaxHedges: 11},
		"invalid Budget.Ratio -1: want a number from 0 to 100": {Budget: retry.NewBudget(retry.BudgetConfig{Ratio: -1})},
	} {
		if err := hedge.New(config).Validate(); err == nil || err.Error() != want {
			t.Errorf("Validate() = %v, want %s", err, want)
		}
	}
	all := hedge.New(hedge.Config{Delay: -1, Quantile: 2, MaxHedges: -1}).Validate()
	if got := strings.Count(all.Error(), "invalid"); got != 3 {
		t.Errorf("Validate() = %v, want 3 complaints", all)
	}
}

func TestPolicyMadeWithoutNew(t *testing.T) {
	p := new(hedge.Policy)
	if p.Validate() == nil {
		t.Error("Validate() = nil, want an error")
	}
	if err := p.Do(t.Context(), orders, succeed); policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() = %v, want an error of class Permanent", err)
	}
}
