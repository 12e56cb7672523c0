package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A Step is a part of a flow that is carried out through a pipeline, and whose result the
// engine keeps. Make one with [NewStep]. It is a value that is safe for concurrent use.
type Step[In, Out any] struct {
	name     string
	pipeline *pipeline.Pipeline
	fn       func(context.Context, In) (Out, error)
}

// NewStep returns a step of the given name that is carried out by fn, through p. Of p, nil
// means no policies, such as for a function whose client has a pipeline already. In and Out
// cross the engine as JSON, so what JSON leaves out, such as fields that are not exported, does not
// arrive. What is wrong is reported by [Flow.On].
//
// The context of fn has the step's [Key]. An error of fn is retried by the pipeline, and
// then by the engine, unless its class is [policy.Permanent]. What an HTTP response is as an
// error, [pipeline.NewStatusError] says.
//
// A step should have one effect. One that makes several requests with effects sets the
// Idempotency-Key of each itself.
func NewStep[In, Out any](name string, p *pipeline.Pipeline, fn func(context.Context, In) (Out, error)) Step[In, Out] {
	return Step[In, Out]{name, p, fn}
}

// AnyStep is a [Step] of any types.
type AnyStep interface {
	// Name identifies the step in its flow.
	Name() string

	validate() error
	carryOut(ctx context.Context, in json.RawMessage) (json.RawMessage, error)
}

// Name implements [AnyStep].
func (s Step[In, Out]) Name() string { return s.name }

// Do carries out the step for a run, or returns what it has come to before. It returns when
// the step has succeeded, or when nobody will try it again: the error is then
// a [*Failure]. For other errors see [Run], and [ErrChanged] if what is recorded is no Out;
// a flow passes them on, wrapped if at all.
func (s Step[In, Out]) Do(r Run, in In) (Out, error) {
	var out Out
	input, err := json.Marshal(in)
	if err != nil {
		return out, NewFailure(s.name, permanent("input: %w", err))
	}
	output, err := r.Step(s.name, input)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(output, &out); err != nil {
		return *new(Out), fmt.Errorf("%w: result of step %q: %w", ErrChanged, s.name, err)
	}
	return out, nil
}

// carryOut is the step's [StepFunc].
func (s Step[In, Out]) carryOut(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	var in In
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, permanent("input: %w", err)
	}
	out, err := s.send(ctx, in)
	if err != nil {
		return nil, err
	}
	output, err := json.Marshal(out)
	if err != nil {
		return nil, permanent("result: %w", err)
	}
	return output, nil
}

func (s Step[In, Out]) send(ctx context.Context, in In) (Out, error) {
	fn := func(ctx context.Context) (Out, error) {
		// Not further out: the requests of policies, such as for a token, are others.
		return s.fn(pipeline.WithIdempotencyKey(ctx, Key(ctx)), in)
	}
	if s.pipeline == nil {
		return fn(ctx)
	}
	return pipeline.Run(ctx, s.pipeline, s.name, fn)
}

func (s Step[In, Out]) validate() error {
	if s.fn == nil {
		return errors.New("invalid function nil: want a func(context.Context, In) (Out, error)")
	}
	if s.pipeline == nil {
		return validateName(s.name)
	}
	return errors.Join(validateName(s.name), s.pipeline.Validate())
}

func permanent(format string, args ...any) error {
	return policy.WithClass(fmt.Errorf(format, args...), policy.Permanent)
}
