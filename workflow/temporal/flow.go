package temporal

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	sdk "go.temporal.io/sdk/workflow"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A flow is one as Temporal sees it.
type flow struct {
	name   string
	fn     workflow.FlowFunc
	steps  map[string]workflow.StepFunc
	config Config
}

// A registry is what a worker is told its workflows and activities by.
type registry interface {
	RegisterWorkflowWithOptions(w any, options sdk.RegisterOptions)
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}

func (f *flow) register(r registry) {
	r.RegisterWorkflowWithOptions(f.carryOut, sdk.RegisterOptions{Name: f.name})
	for name, fn := range f.steps {
		s := step{f.name, name, fn, f.config}
		r.RegisterActivityWithOptions(s.carryOut, activity.RegisterOptions{Name: activityType(f.name, name)})
	}
}

// activityType returns what a step is called among those of all flows.
func activityType(flow, step string) string { return url.PathEscape(flow) + "/" + step }

// carryOut is the flow's workflow. What it panics with leaves the run unfinished.
func (f *flow) carryOut(ctx sdk.Context, in json.RawMessage) (json.RawMessage, error) {
	r := &run{flow: f}
	// A coroutine of its own, so that there is somebody left if the flow calls runtime.Goexit.
	sdk.Go(ctx, func(ctx sdk.Context) { r.call(ctx, in) })
	free, _ := sdk.NewDisconnectedContext(ctx) // The run is told of a cancellation by its steps.
	if err := sdk.Await(free, func() bool { return r.ended }); err != nil {
		return nil, err
	}
	switch {
	case temporal.IsCanceledError(r.stopped):
		return nil, r.stopped
	case r.stopped != nil:
		panic(r.stopped)
	case errors.Is(r.err, workflow.ErrChanged):
		panic(r.err)
	case sdk.IsReplaying(ctx):
		panic(fmt.Errorf("%w: there are more steps than %d", workflow.ErrChanged, r.ordinal))
	case r.err != nil:
		return nil, errorOf(workflow.NewFailure("", r.err), 0)
	default:
		return r.out, nil
	}
}
