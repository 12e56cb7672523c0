package benchmarks_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// The settings of all libraries.
const (
	attempts = 3                // of a call
	failures = 5                // in a row open the circuit
	openFor  = time.Hour        // is how long it stays open
	limit    = 10 * time.Second // is how long an attempt may take
	interval = time.Millisecond // is what the delays between attempts grow from
)

// work is what the libraries carry out.
type work func(ctx context.Context) (int, error)

// A guard carries out work by a retry, a circuit breaker and a timeout for each attempt.
type guard func(ctx context.Context, do work) (int, error)

// A library makes guards, all with the same settings. Where interval is 0 there is no delay between
// attempts, or the least that there can be.
type library struct {
	name    string
	create  func(interval time.Duration) guard
	retries bool
	open    error // what its circuit says when it is open; nil if it has none
	limits  bool
}

// libraries are from cheap to dear. Those that lack something are a part of what it takes.
var libraries = []library{
	{name: "raw", create: newRaw},
	{name: "gobreaker", create: newGobreakerAlone, open: gobreaker.ErrOpenState},
	{name: "backoff", create: newBackoffAlone, retries: true},
	{name: ours, create: newPipeline, retries: true, open: breaker.ErrOpen, limits: true},
	{name: "hand-written", create: newHandWritten, retries: true, open: gobreaker.ErrOpenState, limits: true},
	{name: "failsafe-go", create: newExecutor, retries: true, open: circuitbreaker.ErrOpen, limits: true},
}

func newRaw(time.Duration) guard {
	return func(ctx context.Context, do work) (int, error) { return do(ctx) }
}

// newPipeline uses this library as its README does. Without delays the budget for retries does not
// last long, so that is unlimited, as with the others.
func newPipeline(interval time.Duration) guard {
	again := retry.Config{MaxAttempts: attempts, InitialInterval: interval}
	if interval == 0 {
		again.InitialInterval, again.MaxInterval, again.Budget = 1, 1, retry.Unlimited
	}
	p := pipeline.Must(pipeline.New("users",
		retry.New(again),
		breaker.New(breaker.Config{ConsecutiveFailures: failures, FailureRatio: 1, OpenFor: openFor}),
		timeout.New(timeout.Config{Limit: limit}),
	))
	return func(ctx context.Context, do work) (int, error) { return pipeline.Run(ctx, p, "users.get", do) }
}

func newCircuit() *gobreaker.CircuitBreaker[int] {
	return gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout:     openFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= failures },
	})
}

func newGobreakerAlone(time.Duration) guard {
	circuit := newCircuit()
	return func(ctx context.Context, do work) (int, error) {
		return circuit.Execute(func() (int, error) { return do(ctx) })
	}
}

// intervals returns the delays of one call: they have state.
func intervals(ctx context.Context, initial time.Duration) backoff.BackOff {
	var b backoff.BackOff = &backoff.ZeroBackOff{}
	if initial > 0 {
		b = backoff.NewExponentialBackOff(backoff.WithInitialInterval(initial))
	}
	return backoff.WithContext(backoff.WithMaxRetries(b, attempts-1), ctx)
}

func newBackoffAlone(interval time.Duration) guard {
	return func(ctx context.Context, do work) (int, error) {
		return backoff.RetryWithData(func() (int, error) { return do(ctx) }, intervals(ctx, interval))
	}
}

// newHandWritten is what a competent developer writes.
func newHandWritten(interval time.Duration) guard {
	circuit := newCircuit()
	return func(ctx context.Context, do work) (int, error) {
		limited := func() (int, error) {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			return do(ctx)
		}
		attempt := func() (int, error) {
			value, err := circuit.Execute(limited)
			if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
				err = backoff.Permanent(err)
			}
			return value, err
		}
		return backoff.RetryWithData(attempt, intervals(ctx, interval))
	}
}

func newExecutor(interval time.Duration) guard {
	again := retrypolicy.NewBuilder[int]().WithMaxAttempts(attempts).AbortOnErrors(circuitbreaker.ErrOpen)
	if interval > 0 {
		again.WithBackoff(interval, 5*time.Second)
	}
	executor := failsafe.With[int](
		again.Build(),
		circuitbreaker.NewBuilder[int]().WithFailureThreshold(failures).WithDelay(openFor).Build(),
		failsafetimeout.New[int](limit),
	)
	return func(ctx context.Context, do work) (int, error) {
		return executor.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[int]) (int, error) {
			return do(exec.Context())
		})
	}
}

func succeed(context.Context) (int, error) { return 42, nil }

// failing returns work that fails a number of times before it succeeds, and how often it was done.
func failing(times int) (do work, done *int) {
	done = new(int)
	return func(context.Context) (int, error) {
		if *done++; *done <= times {
			return 0, errDown
		}
		return 42, nil
	}, done
}

// opened returns a guard whose circuit is open.
func opened(ctx context.Context, create func(time.Duration) guard) guard {
	return failed(ctx, create, failures)
}

// failed returns a guard with a number of failures in a row, and perhaps a success after them.
func failed(ctx context.Context, create func(time.Duration) guard, times int) guard {
	guarded := create(interval)
	broken, _ := failing(times)
	for range times {
		_, _ = guarded(ctx, broken)
	}
	return guarded
}

// TestLibrariesDoTheSameWork checks that no library is fast because it does less than it is said to.
func TestLibrariesDoTheSameWork(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, failures := range []int{0, attempts - 1, attempts} {
					l.testFailures(t, failures)
				}
				l.testOpen(t)
				l.testLimit(t)
			})
		})
	}
}

// testFailures has work fail a number of times.
func (l library) testFailures(t *testing.T, times int) {
	t.Helper()
	if times > 0 && !l.retries {
		return
	}
	do, done := failing(times)
	value, err := l.create(0)(t.Context(), do)
	if want := min(times+1, attempts); *done != want {
		t.Errorf("work that fails %d times was done %d times, want %d", times, *done, want)
	}
	switch {
	case times < attempts && (value != 42 || err != nil):
		t.Errorf("work that fails %d times came to %d, %v, want 42", times, value, err)
	case times >= attempts && !errors.Is(err, errDown):
		t.Errorf("work that fails %d times came to %d, %v, want %v", times, value, err, errDown)
	}
}

func (l library) testOpen(t *testing.T) {
	t.Helper()
	if l.open == nil {
		return
	}
	do, done := failing(0)
	if _, err := failed(t.Context(), l.create, failures-1)(t.Context(), do); err != nil || *done != 1 {
		t.Errorf("after %d failures the circuit came to %v and let %d calls pass, want 1", failures-1, err, *done)
	}
	do, done = failing(0)
	if _, err := opened(t.Context(), l.create)(t.Context(), do); !errors.Is(err, l.open) || *done != 0 {
		t.Errorf("the open circuit came to %v and let %d calls pass, want %v and none", err, *done, l.open)
	}
}

func (l library) testLimit(t *testing.T) {
	t.Helper()
	if !l.limits {
		return
	}
	var took time.Duration
	_, err := l.create(interval)(t.Context(), func(ctx context.Context) (int, error) {
		if took != 0 {
			return 0, nil // to be done with it
		}
		start := time.Now()
		<-ctx.Done()
		took = time.Since(start)
		return 0, ctx.Err()
	})
	if took != limit || err != nil {
		t.Errorf("an attempt that hangs was ended after %v, with %v, want %v, and another attempt", took, err, limit)
	}
}
