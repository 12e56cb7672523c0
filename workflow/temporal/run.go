package temporal

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	sdk "go.temporal.io/sdk/workflow"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// A run implements [workflow.Run] in a workflow.
type run struct {
	ctx     sdk.Context // of the coroutine that calls the flow
	flow    *flow
	ordinal int  // how many steps there were
	waiting bool // The flow has called Temporal, whose panics and Goexits are not the flow's.

	ended   bool
	out     json.RawMessage
	err     error
	stopped error // why neither out nor err counts
	refused int   // how often the flow was told that it can do no more
}

// maxRefused is how often a flow may ignore that it can do no more, which one that tries again
// for ever does.
const maxRefused = 100

// call calls the flow, until it ends in whatever way.
func (r *run) call(ctx sdk.Context, in json.RawMessage) {
	r.ctx = ctx
	returned := false
	defer func() {
		if returned {
			r.ended = true
			return
		}
		if r.waiting {
			return
		}
		p := recover()
		r.ended = true
		if r.stopped == nil {
			sdk.GetLogger(ctx).Error("panic in a flow", "panic", p, "stack", string(debug.Stack()))
			r.err = panicked(p)
		}
	}()
	r.out, r.err = r.flow.fn(r, in)
	if r.err == nil {
		r.err = r.flow.config.fits("result", r.out)
	}
	returned = true
}

// A panicError is the end of a function that did not return.
type panicError string

// panicked returns the error of a function that has ended by a panic with p, or by
// runtime.Goexit if that is nil.
func panicked(p any) error {
	if p == nil {
		return panicError("runtime.Goexit was called")
	}
	return panicError(fmt.Sprintf("panic: %v", p))
}

func (e panicError) Error() string       { return string(e) }
func (e panicError) Class() policy.Class { return policy.Permanent }
func (e panicError) ErrorType() string   { return "panic" }

// ID implements [workflow.Run].
func (r *run) ID() string { return runID(sdk.GetInfo(r.ctx).WorkflowExecution.ID) }

// Step implements [workflow.Run].
func (r *run) Step(name string, in json.RawMessage) (json.RawMessage, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if r.flow.steps[name] == nil {
		r.stopped = fmt.Errorf("%w step %q of flow %q", workflow.ErrUnknown, name, r.flow.name)
		return nil, r.stopped
	}
	if err := r.flow.config.fits("input", in); err != nil {
		return nil, workflow.NewFailure(name, err)
	}
	r.ordinal++
	var out json.RawMessage
	err := r.wait(func() error {
		ctx := sdk.WithActivityOptions(r.ctx, r.flow.config.options(r.ordinal, name))
		return sdk.ExecuteActivity(ctx, activityType(r.flow.name, name), in).Get(ctx, &out)
	})
	switch {
	case err == nil:
		return out, nil
	case r.stopped != nil:
		return nil, r.stopped
	default:
		return nil, failureOfStep(name, err, r.flow.config.Retry.GiveUpAfter)
	}
}

// Sleep implements [workflow.Run].
func (r *run) Sleep(d time.Duration) error {
	if err := r.check(); err != nil {
		return err
	}
	return r.wait(func() error { return sdk.Sleep(r.ctx, d) })
}

// check returns why the flow can do no more. Temporal puts a workflow aside by runtime.Goexit, so
// that what the flow has deferred is called in the midst of what it waits for.
func (r *run) check() error {
	why := r.stopped
	if r.waiting {
		why = workflow.ErrClosed
	}
	if why == nil {
		return nil
	}
	if r.refused++; r.refused > maxRefused {
		runtime.Goexit()
	}
	return why
}

// wait calls Temporal, which does not return if the workflow is put aside.
func (r *run) wait(call func() error) error {
	r.waiting = true
	err := call()
	r.waiting = false
	if r.ctx.Err() != nil && temporal.IsCanceledError(err) {
		r.stopped = err
	}
	return err
}

// options returns those of the step of the given ordinal and name.
func (c Config) options(ordinal int, name string) sdk.ActivityOptions {
	return sdk.ActivityOptions{
		ActivityID:             activityID(ordinal, name),
		ScheduleToCloseTimeout: c.Retry.GiveUpAfter,
		HeartbeatTimeout:       c.HeartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			// Failures come with their delay, so this is for the deaths of workers.
			InitialInterval:    min(100*time.Millisecond, c.Retry.InitialInterval),
			BackoffCoefficient: 2,
			MaximumInterval:    c.Retry.MaxInterval,
		},
	}
}

// activityID returns what Temporal finds an activity by when it replays a workflow. With the name in
// it, no step is given what another one has come to.
func activityID(ordinal int, step string) string { return strconv.Itoa(ordinal) + "-" + step }

// ordinalOf is the inverse of it.
func ordinalOf(activityID string) (int, error) {
	ordinal, _, _ := strings.Cut(activityID, "-")
	return strconv.Atoi(ordinal)
}
