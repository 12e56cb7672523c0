package temporal_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// A pulse records when activities heartbeat.
type pulse struct {
	interceptor.WorkerInterceptorBase
	begun time.Time
	beats []time.Duration
}

func (p *pulse) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &pulseInbound{pulse: p}
	in.Next = next
	return in
}

type pulseInbound struct {
	interceptor.ActivityInboundInterceptorBase
	pulse *pulse
}

func (p *pulseInbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	out := &pulseOutbound{pulse: p.pulse}
	out.Next = next
	return p.Next.Init(out)
}

type pulseOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
	pulse *pulse
}

func (p *pulseOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	p.pulse.beats = append(p.pulse.beats, time.Since(p.pulse.begun))
	p.Next.RecordHeartbeat(ctx, details...)
}

// TestHeartbeats tests that steps heartbeat at a third of the timeout, until they end.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pulse{begun: time.Now()}
		env := newEnvironment(t)
		env.SetTestTimeout(time.Hour)
		env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{p}})
		step := workflow.NewStep("charge", nil, func(_ context.Context, n int) (int, error) {
			time.Sleep(50 * time.Second)
			return n, nil
		})
		_, _, err := play(t, env, temporal.Config{HeartbeatTimeout: 45 * time.Second}, only(step), 1)
		want := []time.Duration{15 * time.Second, 30 * time.Second, 45 * time.Second}
		if err != nil || !slices.Equal(p.beats, want) {
			t.Errorf("heartbeats at %v, %v; want %v", p.beats, err, want)
		}
	})
}

// perform carries out an activity that is registered as charge.
func perform(t *testing.T, env *testsuite.TestActivityEnvironment, fn func(context.Context, int) (int, error)) (int, error) {
	t.Helper()
	env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: "charge"})
	result, err := env.ExecuteActivity("charge", 1)
	if err != nil {
		return 0, err
	}
	var out int
	return out, result.Get(&out)
}

// TestActivityTellsTemporalWhatToDo tests that errors cross to Temporal with what it
// goes by, also if a policy has wrapped them.
func TestActivityTellsTemporalWhatToDo(t *testing.T) {
	p := pipeline.Must(pipeline.New("payments", retry.New(retry.Config{MaxAttempts: 2, InitialInterval: time.Millisecond})))
	tests := []struct {
		name      string
		pipeline  *pipeline.Pipeline
		err       error
		calls     int
		permanent bool
		delay     time.Duration
	}{
		{"permanent", p, errBad, 1, true, 0},
		{"transient", p, errGone, 2, false, 0},
		{"told to wait", nil, busy(30 * time.Second), 1, false, 30 * time.Second},
		{"canceled", nil, context.Canceled, 1, false, 0},
		{"permanent though told to wait", nil, policy.WithClass(busy(time.Minute), policy.Permanent), 1, true, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			var suite testsuite.WorkflowTestSuite
			_, err := perform(t, suite.NewTestActivityEnvironment(), temporal.Activity(tt.pipeline, failing(&calls, tt.err, tt.err, tt.err)))
			app, _ := errors.AsType[*sdktemporal.ApplicationError](err)
			if calls != tt.calls || app == nil || app.NonRetryable() != tt.permanent || app.NextRetryDelay() != tt.delay {
				t.Errorf("%d calls, %#v; want %d, not retryable %v, next in %v", calls, err, tt.calls, tt.permanent, tt.delay)
			}
			if f := failureIn(t, err); f.Step() != "charge" || f.Class() != policy.ClassOf(tt.err) {
				t.Errorf("failure of %q of class %v, want charge, %v", f.Step(), f.Class(), policy.ClassOf(tt.err))
			}
		})
	}
}

func TestActivityHasAKey(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	var key string
	keep := func(ctx context.Context, n int) (int, error) { key = pipeline.IdempotencyKey(ctx); return n, nil }
	_, err := perform(t, suite.NewTestActivityEnvironment(), temporal.Activity(nil, keep))
	if want := "default-test-workflow-id/default-test-run-id/"; err != nil || len(key) <= len(want) || key[:len(want)] != want {
		t.Errorf("key %q, %v; want that of the activity in %s", key, err, want)
	}
}

// TestStoppedWorkerGivesUpItsSteps tests that a step whose worker is stopped is canceled, and
// tried again by others without delay, as nothing is wrong with it.
func TestStoppedWorkerGivesUpItsSteps(t *testing.T) {
	for _, err := range []error{nil, context.Canceled, errBad, busy(time.Minute)} {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		stop := make(chan struct{})
		env.SetWorkerStopChannel(stop)
		_, got := perform(t, env, temporal.Activity(nil, func(ctx context.Context, _ int) (int, error) {
			close(stop)
			<-ctx.Done()
			if err == nil {
				return 0, context.Cause(ctx)
			}
			return 0, err
		}))
		app, _ := errors.AsType[*sdktemporal.ApplicationError](got)
		canceled := err == nil || err == context.Canceled
		if app == nil || (app.NextRetryDelay() == time.Millisecond) != canceled || app.NonRetryable() != (err == errBad) {
			t.Errorf("step that ends with %v: %#v, want it to be tried again at once: %v", err, got, canceled)
		}
	}
}
