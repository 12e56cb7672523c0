package retry_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// outage makes n calls that all fail, and returns how many retries there were.
func outage(t *testing.T, p policy.Policy, n int) int {
	t.Helper()
	calls := 0
	for range n {
		if err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
			calls++
			return io.EOF
		}); !errors.Is(err, io.EOF) {
			t.Errorf("Do() = %v, want the cause kept", err)
		}
	}
	return calls - n
}

func quick(budget *retry.Budget) *retry.Policy {
	return retry.New(retry.Config{InitialInterval: 1, MaxInterval: 1, Budget: budget})
}

func TestBudgetBoundsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quick(retry.NewBudget(retry.BudgetConfig{}))
		// 100 in any case, and one for every five calls.
		if got := outage(t, p, 1000); got != 300 {
			t.Errorf("%d retries of 1000 calls, want 300", got)
		}
		if got := outage(t, p, 100); got != 20 {
			t.Errorf("%d retries of 100 more calls, want 20", got)
		}
		time.Sleep(11 * time.Second)
		if got := outage(t, p, 10); got != 20 {
			t.Errorf("%d retries of 10 calls after the window, want all 20", got)
		}
	})
}

func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := retry.NewBudget(retry.BudgetConfig{MinPerSecond: 1})
		if got := outage(t, quick(budget), 10) + outage(t, quick(budget), 10); got != 14 {
			t.Errorf("%d retries by two policies, want 14 of the budget that they share", got)
		}
	})
}

func TestBudgetIsSharedWithOtherPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: 0.5, MinPerSecond: 0.1})
		for range 8 {
			budget.Deposit()
		}
		if got := outage(t, quick(budget), 2); got != 4 {
			t.Errorf("%d retries of 2 calls, want all 4", got)
		}
		// 10 calls have earned 5, and 1 is allowed in any case.
		for _, want := range []bool{true, true, false} {
			if got := budget.Withdraw(); got != want {
				t.Errorf("Withdraw() = %v, want %v: 2 are left after 4 retries", got, want)
			}
		}
		if !retry.Unlimited.Withdraw() {
			t.Error("Withdraw() of an unlimited budget = false, want true")
		}
	})
}

func TestUnlimitedBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := outage(t, quick(retry.Unlimited), 1000); got != 2000 {
			t.Errorf("%d retries of 1000 calls, want all 2000", got)
		}
	})
}

func TestBudgetIsNotExceededConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quick(retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 5}))
		var sends atomic.Int64
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
					sends.Add(1)
					return io.EOF
				})
			})
		}
		wg.Wait()
		if got := sends.Load() - 200; got != 50 {
			t.Errorf("%d retries, want the 50 of the budget", got)
		}
	})
}

func TestCanceledWaitIsRefunded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.New(retry.Config{InitialInterval: time.Second, Jitter: retry.NoJitter, Budget: retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 0.1})})
		for range 20 { // more than the one retry that the budget has
			ctx, cancel := context.WithCancel(t.Context())
			leave := time.AfterFunc(10*time.Millisecond, cancel)
			calls := 0
			err := p.Do(ctx, policy.Call{}, failing(&calls, io.EOF))
			leave.Stop()
			cancel()
			if e, ok := errors.AsType[*retry.Error](err); !ok || e.Reason != retry.ReasonCanceled {
				t.Fatalf("Do() = %v, want it canceled", err)
			}
		}
		calls := 0
		if err := p.Do(t.Context(), policy.Call{}, failing(&calls, io.EOF)); err != nil || calls != 2 {
			t.Errorf("Do() = %v after %d calls, want nil after 2", err, calls)
		}
	})
}

// A budget that was made in the real present is used in bubbles of
// testing/synctest, decades earlier, as that of a package variable is.
func TestBudgetWhenTimeIsTurnedBack(t *testing.T) {
	p := quick(retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1}))
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			for range 3 {
				if got := outage(t, p, 10); got != 10 {
					t.Errorf("%d retries of 10 calls, want the 10 of the budget", got)
				}
				time.Sleep(time.Hour)
			}
		})
	}
}
