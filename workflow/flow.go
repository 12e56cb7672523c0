package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Flow is a sequence of steps that belong together. Make one with [NewFlow]. It
// is a value that is safe for concurrent use.
type Flow[In, Out any] struct {
	name  string
	fn    func(Run, In) (Out, error)
	steps []AnyStep
}

// NewFlow returns a flow of the given name that is carried out by fn, see the
// package's comment for what it may do. The steps are all that fn may take, in any
// order. What is wrong is reported by [Flow.On].
func NewFlow[In, Out any](name string, fn func(Run, In) (Out, error), steps ...AnyStep) Flow[In, Out] {
	return Flow[In, Out]{name, fn, steps}
}

// Name returns what the flow is called.
func (f Flow[In, Out]) Name() string { return f.name }

// On makes the flow known to an engine, before any flow is run on it. It reports everything that is wrong with
// the flow and its steps, and what the engine objects to.
func (f Flow[In, Out]) On(engine Engine) error {
	if engine == nil {
		return fmt.Errorf("workflow: flow %q: invalid engine nil", f.name)
	}
	err := f.validate()
	if err == nil {
		err = engine.Register(f.name, f.carryOut, f.stepFuncs())
	}
	if err != nil {
		return fmt.Errorf("workflow: flow %q: %w", f.name, err)
	}
	return nil
}

// Run runs the flow by the given id, which tells it from other runs of the flow. If
// there is such a run already, Run joins it, or resumes it, or returns its result;
// the error matches [ErrConflict] if its input is another one. The id is UTF-8 of at
// most 200 bytes, without control characters. Inputs are compared as JSON, so a field that is
// added to In makes another input of the same value, unless it is omitted when empty.
//
// If the run has failed, the error wraps a [*Failure], the same each time, and is of class
// [policy.Permanent]. Any other error leaves the run unfinished: to run it again resumes it.
// If ctx ends, Run returns its cause and the run goes on.
func (f Flow[In, Out]) Run(ctx context.Context, engine Engine, id string, in In) (Out, error) {
	out, err := f.run(ctx, engine, id, in)
	if err != nil {
		return *new(Out), fmt.Errorf("workflow: run %q of %q: %w", id, f.name, err)
	}
	return out, nil
}

func (f Flow[In, Out]) run(ctx context.Context, engine Engine, id string, in In) (out Out, err error) {
	if engine == nil {
		return out, errNoEngine
	}
	if err := validateID(id); err != nil {
		return out, err
	}
	input, err := json.Marshal(in)
	if err != nil {
		return out, permanent("input: %w", err)
	}
	output, err := engine.Run(ctx, f.name, id, input)
	if _, failed := errors.AsType[*Failure](err); failed {
		return out, policy.WithClass(err, policy.Permanent)
	}
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(output, &out); err != nil {
		return out, permanent("result: %w", err)
	}
	return out, nil
}

// carryOut is the flow's [FlowFunc].
func (f Flow[In, Out]) carryOut(r Run, input json.RawMessage) (json.RawMessage, error) {
	var in In
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, fmt.Errorf("%w: input: %w", ErrChanged, err)
	}
	out, err := f.fn(r, in)
	if err != nil {
		return nil, err
	}
	output, err := json.Marshal(out)
	if err != nil {
		return nil, permanent("result: %w", err)
	}
	return output, nil
}

func (f Flow[In, Out]) stepFuncs() map[string]StepFunc {
	funcs := make(map[string]StepFunc, len(f.steps))
	for _, s := range f.steps {
		funcs[s.Name()] = s.carryOut
	}
	return funcs
}

func (f Flow[In, Out]) validate() error {
	errs := []error{validateName(f.name)}
	if f.fn == nil {
		errs = append(errs, errors.New("invalid function nil: want a func(workflow.Run, In) (Out, error)"))
	}
	seen := make(map[string]bool)
	for i, s := range f.steps {
		if s == nil {
			errs = append(errs, fmt.Errorf("invalid step %d nil: want one made with NewStep", i+1))
			continue
		}
		if seen[s.Name()] {
			errs = append(errs, fmt.Errorf("step %q: invalid name: another step has it", s.Name()))
		}
		seen[s.Name()] = true
		if err := s.validate(); err != nil {
			errs = append(errs, fmt.Errorf("step %q: %w", s.Name(), err))
		}
	}
	return errors.Join(errs...)
}

var errNoEngine = policy.WithClass(errors.New("invalid engine nil"), policy.Permanent)

// What is beyond these does not fit into keys, which have to fit into headers.
const (
	maxName = 64
	maxID   = 200
)

func validateName(name string) error { return validateText("name", name, maxName) }
func validateID(id string) error     { return validateText("id", id, maxID) }

func validateText(what, s string, limit int) error {
	if strings.TrimSpace(s) == "" || len(s) > limit || strings.ContainsFunc(s, unicode.IsControl) || !utf8.ValidString(s) {
		return permanent("invalid %s %.64q: want 1 to %d bytes of UTF-8 without control characters", what, s, limit)
	}
	return nil
}
