package temporal

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// errorOf returns a failure as Temporal wants it. If it is tried again, then after
// the given delay, or as the retry policy says if that is 0.
func errorOf(f *workflow.Failure, delay time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(f.Error(), f.ErrorType(), temporal.ApplicationErrorOptions{
		NonRetryable:   workflow.IsPermanent(f),
		NextRetryDelay: delay,
		Details:        []any{f},
	})
}

// failureOfStep returns the failure of a step whose activity has ended with err. Temporal ends
// one whose failure is not permanent only because the time for it has passed.
func failureOfStep(step string, err error, after time.Duration) *workflow.Failure {
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	switch {
	case ok && app.NonRetryable():
		return failureOf(step, app)
	case ok:
		return failureOf(step, app).GivenUp(after)
	case temporal.IsTimeoutError(err):
		return workflow.NewFailure(step, foreign{causeOf(err), policy.Transient, "timeout"}).GivenUp(after)
	default: // such as a result that is too large
		return workflow.NewFailure(step, foreign{causeOf(err), policy.Permanent, policy.ErrorType(err)})
	}
}

// failureOfRun returns the failure of a run whose workflow has ended with err, or was ended
// for the given reason, if one is known.
func failureOfRun(err error, reason string) *workflow.Failure {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return failureOf("", app)
	}
	ended := fmt.Errorf("ended on Temporal: %w", causeOf(err))
	if reason != "" {
		ended = fmt.Errorf("%w: %s", ended, reason)
	}
	return workflow.NewFailure("", foreign{ended, policy.Canceled, endOf(err)})
}

// failureOf returns the failure that an error of Temporal's has brought.
func failureOf(step string, app *temporal.ApplicationError) *workflow.Failure {
	f := new(workflow.Failure)
	if app.HasDetails() && app.Details(f) == nil {
		return f
	}
	class := policy.Transient
	if app.NonRetryable() {
		class = policy.Permanent
	}
	return workflow.NewFailure(step, foreign{errors.New(app.Message()), class, app.Type()})
}

// causeOf returns what is left of err without Temporal's ids.
func causeOf(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		return cause
	}
	return err
}

// endOf returns the kind of end that somebody else has made of a run.
func endOf(err error) string {
	switch {
	case temporal.IsTerminatedError(err):
		return "terminated"
	case temporal.IsTimeoutError(err):
		return "timeout"
	default:
		return "canceled"
	}
}

// A foreign error is one of Temporal's, or of somebody else's activity or workflow.
type foreign struct {
	error
	class     policy.Class
	errorType string
}

func (f foreign) Class() policy.Class { return f.class }
func (f foreign) ErrorType() string   { return f.errorType }
