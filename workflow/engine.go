package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An Engine runs flows. It must be safe for concurrent use. Flows and steps have
// names and JSON here; their types are known at the edge, to [Flow] and [Step].
//
// Package workflowtest has the conformance suite for engines.
type Engine interface {
	// Register makes a flow and its steps known. It is called for all flows before
	// any is run or resumed: an engine may refuse those that come later.
	Register(flow string, fn FlowFunc, steps map[string]StepFunc) error

	// Run runs a flow, or joins the run that goes by the same id, or returns its
	// result if it is done. If ctx ends, Run returns and the run goes on.
	//
	// The error is a [*Failure] if the run has failed, and then the same each time.
	// Any other error leaves the run unfinished.
	Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error)
}

// A Run is one execution of a flow, and all that the flow may do to the world. It is for
// one goroutine.
//
// An error of its methods that is not a [*Failure] ends the run for now: the engine
// is being closed, or could not record a result. The methods then return
// the same error each time, and what the flow returns does not count. One that calls them
// on and on is ended, as by [runtime.Goexit].
type Run interface {
	// ID returns what the run goes by among those of its flow.
	ID() string

	// Step carries out the step of the given name, or returns what it has come to
	// before. See [Step].
	Step(name string, in json.RawMessage) (json.RawMessage, error)

	// Sleep waits for d, however often the process is started anew meanwhile.
	Sleep(d time.Duration) error
}

// A FlowFunc is a flow to an engine. Its error is the failure of the run, but one that
// matches [ErrChanged] leaves the run unfinished.
type FlowFunc func(r Run, in json.RawMessage) (json.RawMessage, error)

// A StepFunc is a step to an engine, which calls it with a context that has a key,
// see [WithKey].
type StepFunc func(ctx context.Context, in json.RawMessage) (json.RawMessage, error)

var (
	// ErrConflict matches the errors of runs whose id was given before, with another
	// input. They are of class [policy.Permanent].
	ErrConflict = policy.WithClass(errors.New("workflow: the id belongs to a run with another input"), policy.Permanent)

	// ErrChanged matches the errors of runs that have come to other steps than those
	// recorded, or cannot read their input or the result of a step, because the code of
	// the flow has changed. They stay unfinished, and go on with the code that they were
	// begun with.
	ErrChanged = errors.New("workflow: the flow's code does not fit what is recorded")

	// ErrUnknown matches the errors of flows that an engine does not know, and of
	// steps that a flow was not made with.
	ErrUnknown = errors.New("workflow: unknown")

	// ErrClosed matches the errors of runs that have not ended before their engine
	// was closed.
	ErrClosed = errors.New("workflow: engine closed")
)
