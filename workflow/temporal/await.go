package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// How often await looks whether a run is stuck: ever less, as runs get stuck at the start of a
// worker, if at all.
const (
	firstLook = time.Second
	lastLook  = time.Minute
)

// await returns what a run comes to, however long Temporal itself is away meanwhile.
func (e *Engine) await(ctx context.Context, run *begun) (json.RawMessage, error) {
	for look := firstLook; ; look = min(2*look, lastLook) {
		out, err := result(ctx, run, look)
		if ended, ok := errors.AsType[*temporal.WorkflowExecutionError](err); ok {
			return nil, e.failure(ctx, run, ended)
		}
		if err == nil || !passing(err) || ctx.Err() != nil {
			return out, err
		}
		if err := e.stuck(ctx, run); err != nil {
			return nil, err
		}
	}
}

// result waits for what a run comes to, for so long at most.
func result(ctx context.Context, run client.WorkflowRun, limit time.Duration) (out json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = run.Get(ctx, &out)
	return out, err
}

func (e *Engine) failure(ctx context.Context, run client.WorkflowRun, ended error) *workflow.Failure {
	reason := ""
	if temporal.IsTerminatedError(ended) {
		reason = e.reason(ctx, run)
	}
	return failureOfRun(ended, reason)
}

// reason returns why a run was terminated, if that can be found out.
func (e *Engine) reason(ctx context.Context, run client.WorkflowRun) string {
	events := e.client.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	if !events.HasNext() {
		return ""
	}
	last, err := events.Next()
	if err != nil {
		return "" // It is not worth an error of its own.
	}
	return last.GetWorkflowExecutionTerminatedEventAttributes().GetReason()
}

// passing reports whether it makes sense to ask again after err.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch err.(type) { //nolint:errorlint // The client does not wrap them.
	case *serviceerror.DeadlineExceeded, *serviceerror.Unavailable, *serviceerror.Canceled:
		return true
	default:
		return false
	}
}

// stuck returns what keeps a run from going on, if that is the code of the flow. What a worker has
// said before this Run began does not count: there may be another one by now.
func (e *Engine) stuck(ctx context.Context, run *begun) error {
	if e.attempts(ctx, run) <= run.attempts {
		return nil
	}
	failed := e.lastFailed(ctx, run)
	text := failed.GetFailure().GetMessage()
	switch {
	case failed.GetCause() == enums.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR:
		return carried{workflow.ErrChanged, workflow.ErrChanged.Error() + ": " + mismatch(text)}
	case strings.Contains(text, workflow.ErrChanged.Error()): // A flow may have wrapped it.
		return carried{workflow.ErrChanged, text}
	case strings.HasPrefix(text, workflow.ErrUnknown.Error()):
		return carried{workflow.ErrUnknown, text}
	default:
		return nil
	}
}

// attempts returns how often the task was begun that a workflow is at, or 0 if there is none.
func (e *Engine) attempts(ctx context.Context, run client.WorkflowRun) int32 {
	described, err := e.client.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
	if err != nil {
		return 0 // It will be asked again.
	}
	return described.GetPendingWorkflowTask().GetAttempt()
}

// A carried error has come from the worker as text.
type carried struct {
	sentinel error
	text     string
}

func (c carried) Error() string { return c.text }
func (c carried) Unwrap() error { return c.sentinel }

// lastFailed returns how the task has failed that a workflow is at, or nil.
func (e *Engine) lastFailed(ctx context.Context, run client.WorkflowRun) (failed *history.WorkflowTaskFailedEventAttributes) {
	events := e.client.GetWorkflowHistory(ctx, run.GetID(), run.GetRunID(), false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil
		}
		switch event.GetEventType() { //nolint:exhaustive // There are many more.
		case enums.EVENT_TYPE_WORKFLOW_TASK_FAILED:
			failed = event.GetWorkflowTaskFailedEventAttributes()
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			failed = nil
		}
	}
	return failed
}

// mismatch returns what Temporal says of a replay that went wrong, in short: the step that is recorded
// where the flow does something else, if it is a step.
func mismatch(text string) string {
	if m := expected.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("step %s is %q, the flow comes to something else", m[1], m[2])
	}
	return text
}

var expected = regexp.MustCompile(`(?:history event position|activityID:) (\d+)-(.*?)(?:\. However|$)`)
