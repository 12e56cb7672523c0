package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A fake engine runs flows at once, and remembers nothing.
type fake struct {
	flows map[string]workflow.FlowFunc
	steps map[string]workflow.StepFunc
}

func (f *fake) Register(flow string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	if f.flows == nil {
		f.flows = make(map[string]workflow.FlowFunc)
	}
	f.flows[flow], f.steps = fn, steps
	return nil
}

func (f *fake) Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	fn, ok := f.flows[flow]
	if !ok {
		return nil, workflow.ErrUnknown
	}
	out, err := fn(&run{engine: f, ctx: ctx, flow: flow, id: id}, in)
	if err != nil {
		return nil, workflow.NewFailure("", err)
	}
	return out, nil
}

type run struct {
	engine   *fake
	ctx      context.Context
	flow, id string
	ordinal  int
}

func (r *run) ID() string { return r.id }

func (r *run) Step(name string, in json.RawMessage) (json.RawMessage, error) {
	r.ordinal++
	out, err := r.engine.steps[name](workflow.WithKey(r.ctx, r.flow, r.id, r.ordinal), in)
	if err != nil {
		return nil, workflow.NewFailure(name, err)
	}
	return out, nil
}

func (r *run) Sleep(time.Duration) error { return errors.ErrUnsupported }
