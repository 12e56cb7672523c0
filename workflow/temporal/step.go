package temporal

import (
	"context"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/activity"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A step is one as Temporal sees it.
type step struct {
	flow, name string
	fn         workflow.StepFunc
	config     Config
}

// carryOut is the step's activity.
func (s step) carryOut(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
	info := activity.GetInfo(ctx)
	ordinal, err := ordinalOf(info.ActivityID)
	if err != nil {
		return nil, fmt.Errorf("temporal: activity %q: want one that a flow has begun: %w", info.ActivityID, err)
	}
	out, err := attempt(ctx, func(ctx context.Context) (json.RawMessage, error) {
		out, err := s.fn(workflow.WithKey(ctx, s.flow, runID(info.WorkflowExecution.ID), ordinal), in)
		if err == nil {
			err = s.config.fits("result", out)
		}
		return out, err
	})
	if err == nil {
		return out, nil
	}
	f := workflow.NewFailure(s.name, err)
	delay, _ := s.config.Retry.Next(f, int(info.Attempt), 0) // Temporal itself sees when it is too late.
	if stopped(ctx, f) {
		delay = atOnce
	}
	return nil, errorOf(f, delay)
}
