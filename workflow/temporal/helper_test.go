package temporal_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

var (
	errBad  = policy.WithClass(errors.New("bad"), policy.Permanent)
	errGone = errors.New("gone")
)

// busy is the error of a server that says when to come back.
type busy time.Duration

func (b busy) Error() string                     { return "busy" }
func (b busy) Class() policy.Class               { return policy.Throttled }
func (b busy) RetryAfter() (time.Duration, bool) { return time.Duration(b), true }
func (b busy) ErrorType() string                 { return "503" }

// quiet has Temporal keep what it logs to itself.
var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// newEnvironment returns Temporal's own environment for tests, with time that passes by itself.
func newEnvironment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	return suite.NewTestWorkflowEnvironment()
}

// offline is a client that has no server; tests without one do not use it.
func offline(t *testing.T) client.Client {
	t.Helper()
	c, err := client.NewLazyClient(client.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// play runs a flow in an environment, and returns what it has come to, and after what time.
func play[In, Out any](t *testing.T, env *testsuite.TestWorkflowEnvironment, config temporal.Config, flow workflow.Flow[In, Out], in In) (out Out, took time.Duration, err error) {
	t.Helper()
	engine := temporal.New(offline(t), "orders", config)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	engine.RegisterOn(env)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: flow.Name() + "/17"})
	begun := env.Now()
	env.ExecuteWorkflow(flow.Name(), in)
	if err := env.GetWorkflowError(); err != nil {
		return out, env.Now().Sub(begun), err
	}
	return out, env.Now().Sub(begun), env.GetWorkflowResult(&out)
}

// failing returns a function that fails with the given errors, one after another, and then
// succeeds. It counts its calls.
func failing(calls *int, errs ...error) func(context.Context, int) (int, error) {
	return func(_ context.Context, n int) (int, error) {
		*calls++
		if *calls <= len(errs) {
			return 0, errs[*calls-1]
		}
		return 2 * n, nil
	}
}

// only returns a flow of one step.
func only(step workflow.Step[int, int]) workflow.Flow[int, int] {
	return workflow.NewFlow("place-order", step.Do, step)
}
