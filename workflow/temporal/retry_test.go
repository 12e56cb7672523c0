package temporal_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// TestAttempts tests who tries again: how often a step is carried out, and the time of the
// workflow that it takes.
func TestAttempts(t *testing.T) {
	tests := []struct {
		name  string
		errs  []error
		calls int
		took  time.Duration
	}{
		{"at once", nil, 1, 0},
		{"permanent", []error{errBad, errBad}, 1, 0},
		{"transient", []error{errGone, errGone, errGone}, 4, 7 * time.Minute},
		{"at most an hour", slices.Repeat([]error{errGone}, 8), 9, 63*time.Minute + 2*time.Hour},
		{"told to wait", []error{busy(30 * time.Second), busy(30 * time.Second)}, 3, time.Minute},
		{"canceled", []error{context.Canceled}, 2, time.Minute},
		{"given up", slices.Repeat([]error{errGone}, 20), 9, 63*time.Minute + 2*time.Hour},
	}
	config := temporal.Config{Retry: workflow.Retry{GiveUpAfter: 4 * time.Hour}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			step := workflow.NewStep("charge", nil, failing(&calls, tt.errs...))
			_, took, _ := play(t, newEnvironment(t), config, only(step), 1)
			if calls != tt.calls || took != tt.took {
				t.Errorf("%d calls in %v, want %d in %v", calls, took, tt.calls, tt.took)
			}
		})
	}
}

// TestLayersOfRetry tests that a failure that the pipeline retries is retried by the
// pipeline only, and that what the pipeline says of it is what Temporal goes by.
func TestLayersOfRetry(t *testing.T) {
	p := pipeline.Must(pipeline.New("payments", retry.New(retry.Config{MaxAttempts: 3, InitialInterval: time.Millisecond})))
	tests := []struct {
		name  string
		errs  []error
		calls int
		took  time.Duration
	}{
		{"permanent", []error{errBad, errBad}, 1, 0},
		{"permanent in the end", []error{errGone, errBad}, 2, 0},
		{"recovered", []error{errGone, errGone}, 3, 0},
		{"exhausted", slices.Repeat([]error{errGone}, 4), 5, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			step := workflow.NewStep("charge", p, failing(&calls, tt.errs...))
			_, took, _ := play(t, newEnvironment(t), temporal.Config{}, only(step), 1)
			if calls != tt.calls || took.Round(time.Second) != tt.took {
				t.Errorf("%d calls in %v, want %d in %v", calls, took, tt.calls, tt.took)
			}
		})
	}
}

// TestOpenCircuitIsADurableSleep tests that a step whose circuit is open comes back when
// a probe may pass, without attempts in the meantime.
func TestOpenCircuitIsADurableSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := newEnvironment(t)
		env.SetStartTime(time.Now())
		env.SetTestTimeout(time.Hour)
		attempts, calls := 0, 0
		// The circuit goes by the time of the bubble, which has to keep up with that of Temporal.
		keepUp := policy.New("keep up", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			attempts++
			time.Sleep(time.Until(env.Now()))
			return next(ctx, call)
		})
		circuits := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: 10 * time.Minute})
		p := pipeline.Must(pipeline.New("payments", keepUp, circuits))
		step := workflow.NewStep("charge", p, failing(&calls, errGone))

		_, took, err := play(t, env, temporal.Config{}, only(step), 1)
		if err != nil || attempts != 3 || calls != 2 || took != 10*time.Minute {
			t.Errorf("%d attempts and %d calls in %v, %v; want one that fails, one that is rejected a minute later, and one when the circuit has been open for 10 minutes",
				attempts, calls, took, err)
		}
	})
}
