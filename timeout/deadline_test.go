package timeout_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// within calls look with the context that an operation gets from a policy of 1 s.
func within(ctx context.Context, look func(ctx context.Context)) {
	_ = timeout.New(timeout.Config{Limit: time.Second}).Do(ctx, policy.Call{}, func(ctx context.Context, _ policy.Call) error {
		look(ctx)
		return nil
	})
}

// An end is what the end of a context looks like.
type end struct {
	err, cause error
	done       bool
}

func endOf(ctx context.Context) end {
	synctest.Wait() // for timers that are due
	e := end{err: ctx.Err(), cause: context.Cause(ctx)}
	select {
	case <-ctx.Done():
		e.done = true
	default:
	}
	return e
}

// The context of the operation behaves as one of context.WithDeadline, whatever is asked
// of it first.
func TestContextEndsAsAStandardOne(t *testing.T) {
	reason := errors.New("reason")
	tests := []struct {
		name  string
		until func(cancel context.CancelCauseFunc)
	}{
		{"alive", func(context.CancelCauseFunc) { time.Sleep(999 * time.Millisecond) }},
		{"too late", func(context.CancelCauseFunc) { time.Sleep(time.Second) }},
		{"caller leaves", func(cancel context.CancelCauseFunc) { cancel(reason) }},
		{"too late, then caller leaves", func(cancel context.CancelCauseFunc) { time.Sleep(2 * time.Second); cancel(reason) }},
	}
	firsts := map[string]func(context.Context){
		"nothing": func(context.Context) {},
		"Done":    func(ctx context.Context) { ctx.Done() },
		"Err":     func(ctx context.Context) { _ = ctx.Err() },
		"Value":   func(ctx context.Context) { ctx.Value("key") },
	}
	for _, tt := range tests {
		for first, ask := range firsts {
			t.Run(tt.name+", asked first for "+first, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := context.WithCancelCause(t.Context())
					standard, stop := context.WithTimeout(parent, time.Second)
					defer stop()
					within(parent, func(ctx context.Context) {
						ask(ctx)
						tt.until(cancel)
						got, want := endOf(ctx), endOf(standard)
						if tt.name == "too late, then caller leaves" && first != "Done" {
							want.err, want.cause = context.Canceled, reason // as nobody looked before
						}
						if got != want {
							t.Errorf("context ended with %v, want %v", got, want)
						}
						if again := endOf(ctx); again != got {
							t.Errorf("context ended with %v, and before %v", again, got)
						}
					})
				})
			})
		}
	}
}

func TestDerivedContextsEndToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		within(t.Context(), func(ctx context.Context) {
			start := time.Now()
			before := runtime.NumGoroutine()
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			later, cancelLater := context.WithTimeout(child, time.Minute)
			defer cancelLater()
			called := make(chan time.Duration, 1)
			context.AfterFunc(later, func() { called <- time.Since(start) })
			if more := runtime.NumGoroutine() - before; more != 0 {
				t.Errorf("%d goroutines watch the context, want none", more)
			}
			if took := <-called; took != time.Second || !errors.Is(later.Err(), context.DeadlineExceeded) {
				t.Errorf("child ended after %v with %v, want %v with %v", took, later.Err(), time.Second, context.DeadlineExceeded)
			}
		})
	})
}

func TestContextIsOverWhenTheCallIs(t *testing.T) {
	for _, first := range []func(context.Context){
		func(context.Context) {},
		func(ctx context.Context) { ctx.Done() },
	} {
		type key struct{}
		var kept context.Context
		caller, leave := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		within(caller, func(ctx context.Context) {
			first(ctx)
			kept = ctx
		})
		leave(io.EOF) // which comes too late to be why
		<-kept.Done()
		child, cancel := context.WithCancel(kept)
		<-child.Done()
		cancel()
		if !errors.Is(kept.Err(), context.Canceled) || !errors.Is(context.Cause(kept), context.Canceled) || kept.Value(key{}) != "value" {
			t.Errorf("context ended with %v, %v, and value %v", kept.Err(), context.Cause(kept), kept.Value(key{}))
		}
	}
}

func TestContextServesManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	within(t.Context(), func(ctx context.Context) {
		dones := make(chan (<-chan struct{}), 8)
		for range cap(dones) {
			wg.Go(func() {
				if err := ctx.Err(); err != nil {
					t.Errorf("Err() = %v, want nil", err)
				}
				dones <- ctx.Done()
				<-ctx.Done()
			})
		}
		one := <-dones
		for range cap(dones) - 1 {
			if other := <-dones; other != one {
				t.Error("Done() returns several channels")
			}
		}
	})
	wg.Wait()
}

func TestAllocations(t *testing.T) {
	p, ctx := timeout.New(timeout.Config{}), t.Context()
	got := testing.AllocsPerRun(1000, func() {
		_ = p.Do(ctx, policy.Call{}, func(ctx context.Context, _ policy.Call) error { return ctx.Err() })
	})
	if got != 1 {
		t.Errorf("%v allocations a call, want 1, for the context", got)
	}
}
