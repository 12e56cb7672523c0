package temporal_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	sdktemporal "go.temporal.io/sdk/temporal"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// failureIn returns the failure that a workflow's error has as its detail.
func failureIn(t *testing.T, err error) *workflow.Failure {
	t.Helper()
	app, ok := errors.AsType[*sdktemporal.ApplicationError](err)
	if !ok {
		t.Fatalf("error %v, want an application error", err)
	}
	f := new(workflow.Failure)
	if err := app.Details(f); err != nil {
		t.Fatalf("details of %v: %v", app, err)
	}
	return f
}

func TestFailureCrossesAsData(t *testing.T) {
	var seen error
	calls := 0
	charge := workflow.NewStep("charge", nil, failing(&calls, policy.WithClass(busy(time.Minute), policy.Permanent)))
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		n, seen = charge.Do(r, n)
		return n, seen
	}, charge)
	_, _, err := play(t, newEnvironment(t), temporal.Config{}, flow, 1)
	want := `step "charge": busy`
	for _, f := range []*workflow.Failure{failureIn(t, err), workflow.NewFailure("", seen)} {
		if f.Step() != "charge" || f.Error() != want || f.Class() != policy.Permanent || f.ErrorType() != "503" {
			t.Errorf("failure %v of step %q, class %v, type %q; want %s of charge, permanent, 503", f, f.Step(), f.Class(), f.ErrorType(), want)
		}
	}
	if app, _ := errors.AsType[*sdktemporal.ApplicationError](err); app.Type() != "503" || app.Message() != want {
		t.Errorf("Temporal is told %v of type %q, want the message and the type of the failure", app, app.Type())
	}
}

func TestGivenUpIsPermanent(t *testing.T) {
	calls := 0
	step := workflow.NewStep("charge", nil, failing(&calls, slices.Repeat([]error{errGone}, 20)...))
	config := temporal.Config{Retry: workflow.Retry{GiveUpAfter: 10 * time.Minute}}
	_, _, err := play(t, newEnvironment(t), config, only(step), 1)
	f := failureIn(t, err)
	if want := `step "charge": gone (given up after 10m0s)`; !workflow.IsPermanent(f) || f.Error() != want || calls != 4 {
		t.Errorf("%v of class %v after %d calls, want %s, permanent, after 4", f, f.Class(), calls, want)
	}
}

func TestCompensation(t *testing.T) {
	var did []string
	step := func(name string, err error) workflow.Step[int, int] {
		return workflow.NewStep(name, nil, func(_ context.Context, n int) (int, error) {
			did = append(did, name)
			return n, err
		})
	}
	reserve, charge, release := step("reserve", nil), step("charge", errBad), step("release", nil)
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		n, err := reserve.Do(r, n)
		if err != nil {
			return 0, err
		}
		n, err = charge.Do(r, n)
		if workflow.IsPermanent(err) {
			_, undo := release.Do(r, n)
			return 0, errors.Join(err, undo)
		}
		return n, err
	}, reserve, charge, release)
	_, _, err := play(t, newEnvironment(t), temporal.Config{}, flow, 1)
	if got := strings.Join(did, " "); got != "reserve charge release" || failureIn(t, err).Step() != "charge" {
		t.Errorf("did %s, %v; want reserve charge release, and the failure of charge", got, err)
	}
}

func TestKeyIsThatOfTheStep(t *testing.T) {
	var keys []string
	keep := func(ctx context.Context, n int) (int, error) {
		keys = append(keys, workflow.Key(ctx))
		if len(keys) < 3 {
			return 0, errGone
		}
		return n, nil
	}
	first, second := workflow.NewStep("first", nil, keep), workflow.NewStep("second", nil, keep)
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (string, error) {
		n, err := first.Do(r, n)
		if err != nil {
			return "", err
		}
		_, err = second.Do(r, n)
		return r.ID(), err
	}, first, second)
	id, _, err := play(t, newEnvironment(t), temporal.Config{}, flow, 1)
	if err != nil || id != "17" {
		t.Errorf("run %q, %v; want 17", id, err)
	}
	one, two := "place-order/17/1", "place-order/17/2"
	if want := []string{one, one, one, two}; !slices.Equal(keys, want) {
		t.Errorf("keys %q, want %q", keys, want)
	}
}

func TestSleep(t *testing.T) {
	flow := workflow.NewFlow("nap", func(r workflow.Run, d time.Duration) (int, error) { return 1, r.Sleep(d) })
	got, took, err := play(t, newEnvironment(t), temporal.Config{}, flow, time.Hour)
	if got != 1 || took != time.Hour || err != nil {
		t.Errorf("got %d after %v, %v; want 1 after an hour", got, took, err)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	raise := func(context.Context, int) (int, error) { panic("at the disco") }
	exit := func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil }
	inFlow := func(fn func(context.Context, int) (int, error)) workflow.Flow[int, int] {
		return workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
			_ = r.Sleep(time.Second)
			return fn(t.Context(), n)
		})
	}
	tests := []struct {
		flow workflow.Flow[int, int]
		want string
	}{
		{only(workflow.NewStep("charge", nil, raise)), `step "charge": panic: at the disco`},
		{only(workflow.NewStep("charge", nil, exit)), `step "charge": runtime.Goexit was called`},
		{inFlow(raise), "panic: at the disco"},
		{inFlow(exit), "runtime.Goexit was called"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			_, _, err := play(t, newEnvironment(t), temporal.Config{}, tt.flow, 1)
			if f := failureIn(t, err); f.Error() != tt.want || !workflow.IsPermanent(f) {
				t.Errorf("failure %v of class %v, want %s, permanent", f, f.Class(), tt.want)
			}
		})
	}
}

// TestCancellation tests that a flow whose run is canceled can do nothing more, and that
// what it returns does not count.
func TestCancellation(t *testing.T) {
	calls := 0
	step := workflow.NewStep("charge", nil, failing(&calls))
	var errs []error
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		errs = append(errs, r.Sleep(time.Hour))
		_, err := step.Do(r, n)
		errs = append(errs, err, r.Sleep(time.Hour))
		return 1, nil
	}, step)
	env := newEnvironment(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	_, took, err := play(t, env, temporal.Config{}, flow, 1)
	if !sdktemporal.IsCanceledError(err) || took != time.Minute || calls != 0 {
		t.Errorf("%v after %v and %d calls, want a cancellation after a minute and none", err, took, calls)
	}
	for _, err := range errs {
		if !sdktemporal.IsCanceledError(err) || workflow.IsPermanent(err) || err != errs[0] {
			t.Errorf("the flow sees %v, want the same cancellation each time", err)
		}
	}
}

func TestUnknownStepLeavesTheRunUnfinished(t *testing.T) {
	step := workflow.NewStep("charge", nil, failing(new(int)))
	flow := workflow.NewFlow("place-order", step.Do)
	_, _, err := play(t, newEnvironment(t), temporal.Config{}, flow, 1)
	// The environment ends a workflow whose task fails, as it would try it again for ever.
	if _, ok := errors.AsType[*sdktemporal.PanicError](err); !ok || !strings.Contains(fmt.Sprint(err), `workflow: unknown step "charge" of flow "place-order"`) {
		t.Errorf("run ends with %v, want a task that fails with an unknown step", err)
	}
}

// A flow that tries again for ever, whatever the error, is ended with its run.
func TestFlowThatIgnoresCancellationEnds(t *testing.T) {
	calls := 0
	poll := workflow.NewStep("poll", nil, failing(&calls))
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		for {
			_, _ = poll.Do(r, n)
			_ = r.Sleep(time.Hour)
		}
	}, poll)
	env := newEnvironment(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, 90*time.Minute)
	_, took, err := play(t, env, temporal.Config{}, flow, 1)
	if !sdktemporal.IsCanceledError(err) || took != 90*time.Minute || calls != 2 {
		t.Errorf("%v after %v and %d calls, want a cancellation after 90 minutes and 2", err, took, calls)
	}
}
