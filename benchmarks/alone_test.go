package benchmarks_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go"
	failsafebulkhead "github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/ratelimiter"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// The settings of all policies that are alone; the limit of time is that of libraries.
const (
	slots     = 10
	perSecond = 1_000_000
	burst     = 100_000
)

// alones are the policies that are benchmarked alone, each by several libraries.
var alones = []struct {
	name   string
	policy string
	create func() guard
}{
	{"context", "timeout", newContext},
	{ours, "timeout", func() guard { return pipelineOf(timeout.New(timeout.Config{Limit: limit})) }},
	{"failsafe-go", "timeout", func() guard { return executorOf(failsafetimeout.New[int](limit)) }},
	{"semaphore", "bulkhead", newSemaphore},
	{ours, "bulkhead", func() guard { return pipelineOf(bulkhead.New(bulkhead.Config{Slots: slots})) }},
	{"failsafe-go", "bulkhead", func() guard { return executorOf(failsafebulkhead.New[int](slots)) }},
	{"rate", "rate-limit", newRate},
	{ours, "rate-limit", func() guard { return pipelineOf(ratelimit.New(ratelimit.Config{Rate: perSecond, Burst: burst})) }},
	{"failsafe-go", "rate-limit", func() guard {
		return executorOf(ratelimiter.NewBursty[int](burst, time.Second*burst/perSecond))
	}},
}

var errRefused = errors.New("refused")

func pipelineOf(only policy.Policy) guard {
	p := pipeline.Must(pipeline.New("users", only))
	return func(ctx context.Context, do work) (int, error) { return pipeline.Run(ctx, p, "users.get", do) }
}

func executorOf(only failsafe.Policy[int]) guard {
	executor := failsafe.With(only)
	return func(ctx context.Context, do work) (int, error) {
		return executor.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[int]) (int, error) {
			return do(exec.Context())
		})
	}
}

func newContext() guard {
	return func(ctx context.Context, do work) (int, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return do(ctx)
	}
}

func newSemaphore() guard {
	s := semaphore.NewWeighted(slots)
	return func(ctx context.Context, do work) (int, error) {
		if !s.TryAcquire(1) {
			return 0, errRefused
		}
		defer s.Release(1)
		return do(ctx)
	}
}

func newRate() guard {
	l := rate.NewLimiter(perSecond, burst)
	return func(ctx context.Context, do work) (int, error) {
		if !l.Allow() {
			return 0, errRefused
		}
		return do(ctx)
	}
}

// BenchmarkAlone has single policies let calls pass that succeed at once. It is W7 of the report.
func BenchmarkAlone(b *testing.B) {
	for _, a := range alones {
		b.Run(a.name+"/"+a.policy, func(b *testing.B) {
			guarded, ctx := a.create(), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				value, err := guarded(ctx, succeed)
				if err != nil && a.policy == "rate-limit" {
					guarded = a.create() // as there are no more tokens
				} else if value != 42 || err != nil {
					b.Fatal(value, err)
				}
			}
		})
	}
}

func TestAloneDoTheSameWork(t *testing.T) {
	tests := map[string]func(t *testing.T, guarded guard){
		"timeout":    testTimeout,
		"bulkhead":   testBulkhead,
		"rate-limit": testRateLimit,
	}
	for _, a := range alones {
		t.Run(a.name+" "+a.policy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tests[a.policy](t, a.create()) })
		})
	}
}

func hang(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func testTimeout(t *testing.T, guarded guard) {
	start := time.Now()
	_, err := guarded(t.Context(), hang)
	if took := time.Since(start); took != limit || err == nil {
		t.Errorf("a call that hangs came to %v after %v, want an error after %v", err, took, limit)
	}
}

func testBulkhead(t *testing.T, guarded guard) {
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range slots {
		calls.Go(func() { _, _ = guarded(ctx, hang) })
	}
	synctest.Wait()
	do, done := failing(0)
	if _, err := guarded(t.Context(), do); err == nil || *done != 0 {
		t.Errorf("%d calls under way, and another one came to %v, want an error", slots, err)
	}
	cancel()
	calls.Wait()
	if _, err := guarded(t.Context(), do); err != nil {
		t.Errorf("no call under way, and another one came to %v", err)
	}
}

func testRateLimit(t *testing.T, guarded guard) {
	do, done := failing(0)
	for range burst {
		if _, err := guarded(t.Context(), do); err != nil {
			t.Fatalf("call %d of %d came to %v", *done, burst, err)
		}
	}
	if _, err := guarded(t.Context(), do); err == nil || *done != burst {
		t.Errorf("after %d calls at once another one came to %v, want an error", *done, err)
	}
}
