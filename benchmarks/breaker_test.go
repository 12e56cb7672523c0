package benchmarks_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"
	"github.com/sony/gobreaker/v2"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// An operation is what a circuit guards.
type operation func(ctx context.Context) error

// A circuit carries out operations. Unless a test says otherwise, three failures in a row open it, for
// a second, and then one probe that succeeds closes it.
type circuit func(ctx context.Context, op operation) error

// A maker makes a circuit. It belongs to the bubble in which it is made.
type maker func() circuit

func evenkeelCircuit(policies ...policy.Policy) circuit {
	p := pipeline.Must(pipeline.New("test", policies...))
	return func(ctx context.Context, op operation) error {
		return p.Do(ctx, policy.Call{Key: "test"}, func(ctx context.Context, _ policy.Call) error { return op(ctx) })
	}
}

func failsafeCircuit(policies ...failsafe.Policy[any]) circuit {
	return func(ctx context.Context, op operation) error {
		return failsafe.With(policies...).WithContext(ctx).RunWithExecution(func(exec failsafe.Execution[any]) error {
			return op(exec.Context())
		})
	}
}

func newEvenkeel() circuit {
	return evenkeelCircuit(breaker.New(breaker.Config{ConsecutiveFailures: 3, OpenFor: time.Second, Probes: 1}))
}

func newFailsafe() circuit {
	return failsafeCircuit(circuitbreaker.NewBuilder[any]().WithFailureThreshold(3).WithDelay(time.Second).WithSuccessThreshold(1).Build())
}

func newGobreaker() circuit {
	guard := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Interval:    10 * time.Second,
		Timeout:     time.Second,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= 3 },
	})
	return func(ctx context.Context, op operation) error {
		_, err := guard.Execute(func() (any, error) { return nil, op(ctx) })
		return err
	}
}

// passes reports whether the circuit lets an operation pass, which succeeds.
func (c circuit) passes(t *testing.T) bool {
	t.Helper()
	passed := false
	_ = c(t.Context(), func(context.Context) error { passed = true; return nil })
	return passed
}

// open opens the circuit.
func (c circuit) open(t *testing.T) {
	t.Helper()
	for range 3 {
		_ = c(t.Context(), func(context.Context) error { return errDown })
	}
	if c.passes(t) {
		t.Fatal("three failures have not opened the circuit")
	}
}

func TestFailuresInARowOpenTheCircuitHoweverSlowlyTheyCome(t *testing.T) {
	compare(t, map[string]maker{
		ours:        newEvenkeel,
		"gobreaker": newGobreaker,
	}, func(t *testing.T, create maker) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			c := create()
			c.open(t) // so it can
			time.Sleep(2 * time.Second)
			if !c.passes(t) {
				t.Fatal("the circuit has not closed again")
			}
			for range 20 {
				time.Sleep(11 * time.Second)
				_ = c(t.Context(), func(context.Context) error { return errDown })
			}
			if c.passes(t) {
				broken = errors.New("still closed after 20 failures in a row")
			}
		})
		return broken
	})
}

func TestAProbeThatDoesNotReturnIsGivenBack(t *testing.T) {
	tests := []struct {
		name   string
		probe  operation
		others map[string]maker
	}{
		{"panic", func(context.Context) error { panic("test") }, map[string]maker{"failsafe-go": newFailsafe}},
		{"Goexit", func(context.Context) error { runtime.Goexit(); return nil }, map[string]maker{"failsafe-go": newFailsafe, "gobreaker": newGobreaker}},
		{"hang", func(ctx context.Context) error { <-ctx.Done(); return nil }, map[string]maker{"failsafe-go": newFailsafe, "gobreaker": newGobreaker}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.others[ours] = newEvenkeel
			compare(t, tt.others, func(t *testing.T, create maker) (broken error) {
				synctest.Test(t, func(t *testing.T) {
					c := create()
					c.open(t)
					time.Sleep(2 * time.Second)
					var probed atomic.Bool
					go func() {
						defer func() { _ = recover() }()
						_ = c(t.Context(), func(ctx context.Context) error { probed.Store(true); return tt.probe(ctx) })
					}()
					synctest.Wait()
					if !probed.Load() {
						t.Fatal("there was no probe")
					}
					time.Sleep(time.Hour)
					if !c.passes(t) {
						broken = errors.New("still rejects calls an hour later")
					}
				})
				return broken
			})
		})
	}
}

func TestCallersWhoLeaveDoNotOpenTheCircuit(t *testing.T) {
	compare(t, map[string]maker{
		ours:          newEvenkeel,
		"failsafe-go": newFailsafe,
		"gobreaker":   newGobreaker,
	}, func(t *testing.T, create maker) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			c := create()
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Millisecond, cancel)
				_ = c(ctx, func(ctx context.Context) error { return policy.Sleep(ctx, time.Second) })
			}
			if !c.passes(t) {
				broken = errors.New("opened by three callers who left")
			}
		})
		return broken
	})
}

// A hedge that is won is a lost attempt, too: here circuits open if half of ten attempts fail.
func TestHedgesThatAreAllWonDoNotOpenTheCircuit(t *testing.T) {
	const delay = 10 * time.Millisecond
	compare(t, map[string]maker{
		ours: func() circuit {
			return evenkeelCircuit(hedge.New(hedge.Config{Delay: delay}), breaker.New(breaker.Config{FailureRatio: 0.5, MinCalls: 10}))
		},
		"failsafe-go": func() circuit {
			return failsafeCircuit(hedgepolicy.NewWithDelay[any](delay), circuitbreaker.NewBuilder[any]().WithFailureThresholdRatio(5, 10).Build())
		},
	}, func(t *testing.T, create maker) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			c := create()
			for range 20 {
				var attempts atomic.Int64
				_ = c(t.Context(), func(ctx context.Context) error {
					if attempts.Add(1) == 1 {
						return policy.Sleep(ctx, time.Minute)
					}
					return nil
				})
				synctest.Wait() // for the attempt that has lost
			}
			if !c.passes(t) {
				broken = errors.New("opened although all calls succeeded")
			}
		})
		return broken
	})
}
