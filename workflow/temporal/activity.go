package temporal

import (
	"context"
	"net/url"

	"go.temporal.io/sdk/activity"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// Activity returns an activity that is carried out by fn, through p, for workflows that are not
// flows of this library. Of p, nil means no policies.
//
// Its errors are application errors. A permanent one, and a panic, is not retryable. One that
// tells when to come back, such as an open circuit, has Temporal try again just then. Their type
// is that of [policy.ErrorType], their detail a [workflow.Failure]. While fn runs, it heartbeats at
// a third of the activity's HeartbeatTimeout, if it has one; its context ends when the
// worker is stopped. Requests through a pipeline have an Idempotency-Key, which is the same for
// all attempts of the activity.
//
// How often Temporal tries again is the workflow's to say. As p has tried already, for
// seconds, the first interval should be a minute or so. By default Temporal
// never stops trying, so one of ScheduleToCloseTimeout and MaximumAttempts should be set:
//
//	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
//		ScheduleToCloseTimeout: 24 * time.Hour,
//		HeartbeatTimeout:       30 * time.Second,
//		RetryPolicy: &temporal.RetryPolicy{
//			InitialInterval:    time.Minute,
//			BackoffCoefficient: 2,
//			MaximumInterval:    time.Hour,
//		},
//	})
//	err := workflow.ExecuteActivity(ctx, "charge", order).Get(ctx, &receipt)
//
// An error is permanent by its class, see [policy.WithClass]. The Permanent of
// package backoff is not known here.
func Activity[In, Out any](p *pipeline.Pipeline, fn func(context.Context, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (Out, error) {
		info := activity.GetInfo(ctx)
		name := info.ActivityType.Name
		operation := func(ctx context.Context) (Out, error) {
			// Not further out: the requests of policies, such as for a token, are others.
			return fn(pipeline.WithIdempotencyKey(ctx, keyOf(info)), in)
		}
		out, err := attempt(ctx, func(ctx context.Context) (Out, error) {
			if p == nil {
				return operation(ctx)
			}
			return pipeline.Run(ctx, p, name, operation)
		})
		if err == nil {
			return out, nil
		}
		f := workflow.NewFailure(name, err)
		delay, _ := f.RetryAfter()
		if stopped(ctx, f) {
			delay = atOnce
		}
		return out, errorOf(f, delay)
	}
}

// keyOf returns what tells an activity from all others.
func keyOf(info activity.Info) string {
	run := info.WorkflowExecution
	return url.PathEscape(run.ID) + "/" + url.PathEscape(run.RunID) + "/" + url.PathEscape(info.ActivityID)
}
