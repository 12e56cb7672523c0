package retry_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// What other libraries, and the careless use of backoff, get wrong.

func TestDoesNotWaitWithoutBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.New(retry.Config{Jitter: retry.NoJitter, Budget: retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1e-9})})
		calls, start := 0, time.Now()
		err := p.Do(t.Context(), policy.Call{}, failing(&calls, io.EOF))
		if took := time.Since(start); took != 0 || calls != 1 || !errors.Is(err, io.EOF) || !errors.Is(err, policy.ErrRejected) {
			t.Errorf("Do() = %v after %v and %d attempts, want the cause at once after 1", err, took, calls)
		}
	})
}

func TestZeroIntervalsAreTheDefaults(t *testing.T) {
	got := delays(t, retry.Config{Jitter: retry.NoJitter}, io.EOF)
	if want := 100 * time.Millisecond; got[0] != want {
		t.Errorf("first delay is %v, want %v", got[0], want)
	}
}

// By default the package that computes the intervals gives up after 15 minutes.
func TestRetriesGoOnForHours(t *testing.T) {
	got := delays(t, retry.Config{Jitter: retry.NoJitter, InitialInterval: time.Hour}, io.EOF)
	if want := slices.Repeat([]time.Duration{time.Hour}, 9); !slices.Equal(got, want) {
		t.Errorf("delays are %v, want %v", got, want)
	}
}

func TestCallsDoNotShareTheirIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.New(retry.Config{MaxAttempts: 4, Jitter: retry.NoJitter, Budget: retry.Unlimited})
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				start := time.Now()
				_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return io.EOF })
				if took, want := time.Since(start), 700*time.Millisecond; took != want {
					t.Errorf("four attempts took %v, want %v", took, want)
				}
			})
		}
		calls.Wait()
	})
}
