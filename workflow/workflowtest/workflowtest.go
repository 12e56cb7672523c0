// Package workflowtest tests that an engine keeps the promises of [workflow.Engine].
//
//	func TestConformance(t *testing.T) {
//		workflowtest.Run(t, func(t *testing.T) workflow.Engine {
//			engine := memory.New(memory.Config{Retry: workflowtest.Retry()})
//			t.Cleanup(func() { _ = engine.Close() })
//			return engine
//		})
//	}
package workflowtest

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// Run tests the engines that newEngine returns, a new one for each test. They have to try
// steps again as [Retry] says, or the tests take hours. What is to be closed, newEngine
// leaves to the Cleanup of its t, which is that of one test.
//
// Engines may share what they keep, such as a server: the tests use ids that nobody has
// used before. But a run must be carried out by the engine that it was begun on, as no
// other one knows its flow, so give each a task queue of its own or the like.
//
// The tests take real time, a few seconds in all. Use the race detector, go test -race, or an
// engine that is not safe for concurrent use may pass.
func Run(t *testing.T, newEngine func(t *testing.T) workflow.Engine) {
	tests := []struct {
		name string
		test func(*testing.T, workflow.Engine)
	}{
		{"returns the result", returnsResult},
		{"keeps the result", keepsResult},
		{"passes inputs and results of a megabyte", passesMuch},
		{"carries out a run once for all its callers", joins},
		{"refuses another input", refusesOtherInput},
		{"keeps flows apart", keepsFlowsApart},
		{"goes on when the caller leaves", outlivesCaller},
		{"sleeps", sleeps},
		{"runs many at a time", runsMany},
		{"has a key for each step", hasKeys},

		{"keeps failures as data", keepsFailure},
		{"keeps the failures of flows", keepsFlowFailure},
		{"has the flow undo what it has done", compensates},
		{"fails results that are not JSON", failsResults},
		{"survives the panic of a step", survivesStepPanic},
		{"survives the panic of a flow", survivesFlowPanic},
		{"keeps runs whose code cannot read their results", keepsUnreadable},
		{"knows no other flows", refusesUnknownFlow},
		{"knows no other steps", refusesUnknownStep},

		{"tries again what may pass", triesAgain},
		{"does not try again what is permanent", takesNo},
		{"comes back when it is told to", comesBack},
		{"gives up", givesUp},
	}
	if newEngine == nil {
		t.Fatal("workflowtest: invalid newEngine nil: want a function that returns an engine")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, newEngine(t)) })
	}
}

// Retry returns how the engines under test have to be configured: to try again after
// milliseconds, and to give up after seconds.
func Retry() workflow.Retry {
	return workflow.Retry{
		InitialInterval: 10 * time.Millisecond,
		MaxInterval:     100 * time.Millisecond,
		GiveUpAfter:     3 * time.Second,
	}
}

// patience is how long a run may take. It does not fail an engine that is merely slow.
const patience = time.Minute

// on makes a flow known to an engine.
func on[In, Out any](t *testing.T, e workflow.Engine, f workflow.Flow[In, Out]) {
	t.Helper()
	if err := f.On(e); err != nil {
		t.Fatalf("On() = %v, want nil", err)
	}
}

// run runs a flow, for as long as patience lasts.
func run[In, Out any](t *testing.T, e workflow.Engine, f workflow.Flow[In, Out], id string, in In) (Out, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errPatience)
	defer cancel()
	return f.Run(ctx, e, id, in)
}

var errPatience = errors.New("workflowtest: the run takes too long")

// wants runs a flow whose result is known.
func wants[In any, Out comparable](t *testing.T, e workflow.Engine, f workflow.Flow[In, Out], id string, in In, want Out) {
	t.Helper()
	if got, err := run(t, e, f, id, in); got != want || err != nil {
		t.Errorf("Run() = %v, %v, want %v", got, err, want)
	}
}

// fails runs a flow that has to fail, and returns how.
func fails[In, Out any](t *testing.T, e workflow.Engine, f workflow.Flow[In, Out], id string, in In) *workflow.Failure {
	t.Helper()
	out, err := run(t, e, f, id, in)
	failure, ok := errors.AsType[*workflow.Failure](err)
	if !ok {
		t.Fatalf("Run() = %v, %v, want a *workflow.Failure", out, err)
	}
	return failure
}

// newID returns an id that nobody has used before.
func newID() string { return "workflowtest-" + rand.Text() }

// single returns a flow that consists of one step.
func single[In, Out any](name string, step workflow.Step[In, Out]) workflow.Flow[In, Out] {
	return workflow.NewFlow(name, step.Do, step)
}

// permanent returns an error that nobody is to try again.
func permanent(text string) error { return policy.WithClass(errors.New(text), policy.Permanent) }
