package benchmarks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

var errDown = errors.New("down")

// A repeater carries out an operation until it succeeds, or it has failed a number of times.
type repeater func(ctx context.Context, op func() error) error

func withEvenkeel(policies ...policy.Policy) repeater {
	p := pipeline.Must(pipeline.New("test", policies...))
	return func(ctx context.Context, op func() error) error {
		return p.Do(ctx, policy.Call{}, func(context.Context, policy.Call) error { return op() })
	}
}

func withFailsafe(policies ...failsafe.Policy[any]) repeater {
	return func(ctx context.Context, op func() error) error {
		return failsafe.With(policies...).WithContext(ctx).Run(op)
	}
}

func withBackoff(intervals func() backoff.BackOff) repeater {
	return func(ctx context.Context, op func() error) error {
		return backoff.Retry(op, backoff.WithContext(intervals(), ctx))
	}
}

// after10s are libraries that try up to three times, with 10 seconds in between.
func after10s() map[string]repeater {
	const delay = 10 * time.Second
	return map[string]repeater{
		ours:          withEvenkeel(retry.New(retry.Config{InitialInterval: delay, Jitter: retry.NoJitter})),
		"failsafe-go": withFailsafe(retrypolicy.NewBuilder[any]().WithDelay(delay).Build()),
		"backoff": withBackoff(func() backoff.BackOff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(delay), 2)
		}),
	}
}

func fail() error { return errDown }

func TestNoWaitOutlastsTheDeadline(t *testing.T) {
	compare(t, after10s(), func(t *testing.T, do repeater) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if err := do(ctx, fail); err == nil {
				t.Fatal("a call that fails has no error")
			}
			if took := time.Since(start); took != 0 {
				broken = fmt.Errorf("waited %v for an attempt that the deadline did not allow, want 0s", took)
			}
		})
		return broken
	})
}

func TestTheEndOfAWaitDoesNotHideTheCause(t *testing.T) {
	compare(t, after10s(), func(t *testing.T, do repeater) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := do(ctx, fail); !errors.Is(err, errDown) {
				broken = fmt.Errorf("the error is %q, want the one that matches %q, too", err, errDown)
			}
		})
		return broken
	})
}

func TestTheCapHoldsAfterJitter(t *testing.T) {
	const initial, most, attempts = time.Millisecond, 2 * time.Millisecond, 100
	compare(t, map[string]repeater{
		ours: withEvenkeel(retry.New(retry.Config{
			MaxAttempts: attempts, InitialInterval: initial, MaxInterval: most, Budget: retry.Unlimited,
		})),
		"failsafe-go": withFailsafe(retrypolicy.NewBuilder[any]().WithMaxAttempts(attempts).WithBackoff(initial, most).WithJitterFactor(0.5).Build()),
		"backoff": withBackoff(func() backoff.BackOff {
			intervals := backoff.NewExponentialBackOff(backoff.WithInitialInterval(initial), backoff.WithMaxInterval(most))
			return backoff.WithMaxRetries(intervals, attempts-1)
		}),
	}, func(t *testing.T, do repeater) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			var longest time.Duration
			last, n := time.Now(), 0
			_ = do(t.Context(), func() error {
				longest = max(longest, time.Since(last))
				last, n = time.Now(), n+1
				return errDown
			})
			if n != attempts {
				t.Fatalf("%d attempts, want %d", n, attempts)
			}
			if longest > most {
				broken = fmt.Errorf("waited %v, want at most %v", longest, most)
			}
		})
		return broken
	})
}

func TestAnInnerRetryStartsAnewForEachOuterAttempt(t *testing.T) {
	const delay = time.Millisecond
	compare(t, map[string]repeater{
		ours: withEvenkeel(
			retry.New(retry.Config{Name: "outer", InitialInterval: delay}),
			retry.New(retry.Config{Name: "inner", InitialInterval: delay}),
		),
		"failsafe-go": withFailsafe(
			retrypolicy.NewBuilder[any]().WithDelay(delay).Build(),
			retrypolicy.NewBuilder[any]().WithDelay(delay).Build(),
		),
	}, func(t *testing.T, do repeater) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			_ = do(t.Context(), func() error { n++; return errDown })
			if n != 9 {
				broken = fmt.Errorf("%d attempts of 3 × 3, want 9", n)
			}
		})
		return broken
	})
}
