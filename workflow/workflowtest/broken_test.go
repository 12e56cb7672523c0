package workflowtest_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
	"github.com/evenkeel-go/evenkeel/workflow/workflowtest"
)

// An engine is a good one that can be broken in what its callers, steps and flows see.
type engine struct {
	*memory.Engine
	run  func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error)
	step func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error)
	flow func(workflow.Run) workflow.Run
}

func (e *engine) Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	if e.run == nil {
		return e.Engine.Run(ctx, flow, id, in)
	}
	return e.run(ctx, e.Engine, flow, id, in)
}

func (e *engine) Register(flow string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	if e.step != nil {
		for name, step := range steps {
			steps[name] = func(ctx context.Context, in json.RawMessage) (json.RawMessage, error) { return e.step(ctx, step, in) }
		}
	}
	if e.flow != nil {
		sound := fn
		fn = func(r workflow.Run, in json.RawMessage) (json.RawMessage, error) { return sound(e.flow(r), in) }
	}
	return e.Engine.Register(flow, fn, steps)
}

// sleepless is a run that does not sleep.
type sleepless struct{ workflow.Run }

func (sleepless) Sleep(time.Duration) error { return nil }

// lenient is a run that takes unknown steps for done.
type lenient struct{ workflow.Run }

func (l lenient) Step(name string, in json.RawMessage) (json.RawMessage, error) {
	if name == "other" {
		return in, nil
	}
	return l.Run.Step(name, in)
}

// results are of an engine that looks at ids only, or at flows too.
type results struct {
	byFlow bool

	mu   sync.Mutex
	kept map[string]json.RawMessage
}

func (r *results) run(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	key := id
	if r.byFlow {
		key = flow + "/" + id
	}
	r.mu.Lock()
	out, ok := r.kept[key]
	r.mu.Unlock()
	if ok {
		return out, nil
	}
	out, err := e.Run(ctx, flow, id, in)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.kept[key] = out
	}
	return out, err
}

// broken holds engines that break the contract, by what they do.
var broken = map[string]struct {
	engine engine
	want   string // the test that finds it
}{
	"forgets runs": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		return e.Run(ctx, flow, id+time.Now().String(), in)
	}}, "carries_out_a_run_once_for_all_its_callers"},
	"mixes flows":   {engine{run: (&results{kept: make(map[string]json.RawMessage)}).run}, "keeps_flows_apart"},
	"ignores input": {engine{run: (&results{byFlow: true, kept: make(map[string]json.RawMessage)}).run}, "refuses_another_input"},
	"holds callers": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		return e.Run(context.WithoutCancel(ctx), flow, id, in)
	}}, "goes_on_when_the_caller_leaves"},
	"has runs fail that callers leave": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		out, err := e.Run(ctx, flow, id, in)
		if ctx.Err() != nil {
			_ = e.(*memory.Engine).Close()
		}
		return out, err
	}}, "goes_on_when_the_caller_leaves"},
	"keeps 64 KiB": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		if len(in) > 1<<16 {
			return nil, errors.New("too much")
		}
		return e.Run(ctx, flow, id, in)
	}}, "passes_inputs_and_results_of_a_megabyte"},
	"has errors for failures": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		out, err := e.Run(ctx, flow, id, in)
		if err != nil {
			err = errors.New(err.Error())
		}
		return out, err
	}}, "keeps_failures_as_data"},
	"has failures for errors": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		out, err := e.Run(ctx, flow, id, in)
		if err != nil {
			return out, workflow.NewFailure("", err)
		}
		return out, nil
	}}, "knows_no_other_flows"},
	"fails what it cannot read": {engine{run: func(ctx context.Context, e workflow.Engine, flow, id string, in json.RawMessage) (json.RawMessage, error) {
		out, err := e.Run(ctx, flow, id, in)
		if errors.Is(err, workflow.ErrChanged) {
			return nil, workflow.NewFailure("", err)
		}
		return out, err
	}}, "keeps_runs_whose_code_cannot_read_their_results"},
	"tells nothing of panics": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (_ json.RawMessage, err error) {
		defer func() {
			if recover() != nil {
				err = policy.WithClass(errors.New("it panicked"), policy.Permanent)
			}
		}()
		return step(ctx, in)
	}}, "survives_the_panic_of_a_step"},
	"carries out steps twice": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		_, _ = step(ctx, in)
		return step(ctx, in)
	}}, "returns_the_result"},
	"tries again whatever it is": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		out, err := step(ctx, in)
		if err != nil {
			return step(ctx, in)
		}
		return out, nil
	}}, "does_not_try_again_what_is_permanent"},
	"never tries again": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		out, err := step(ctx, in)
		return out, policy.WithClass(err, policy.Permanent)
	}}, "tries_again_what_may_pass"},
	"tries again at once": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		for {
			if out, err := step(ctx, in); err == nil {
				return out, nil
			}
		}
	}}, "tries_again_what_may_pass"},
	"does not heed Retry-After": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		out, err := step(ctx, in)
		if err != nil {
			err = errors.New(err.Error())
		}
		return out, err
	}}, "comes_back_when_it_is_told_to"},
	"has no keys": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		return step(keyless{ctx}, in)
	}}, "has_a_key_for_each_step"},
	"has new keys": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		return step(workflow.WithKey(ctx, "flow", time.Now().String(), 1), in)
	}}, "has_a_key_for_each_step"},
	"has one key for all runs": {engine{step: func(ctx context.Context, step workflow.StepFunc, in json.RawMessage) (json.RawMessage, error) {
		ordinal, _ := strconv.Atoi(path.Base(workflow.Key(ctx)))
		return step(workflow.WithKey(ctx, "flow", "id", ordinal), in)
	}}, "has_a_key_for_each_step"},
	"does not sleep":      {engine{flow: func(r workflow.Run) workflow.Run { return sleepless{r} }}, "sleeps"},
	"takes unknown steps": {engine{flow: func(r workflow.Run) workflow.Run { return lenient{r} }}, "knows_no_other_steps"},
}

// A keyless context has no values.
type keyless struct{ context.Context }

func (keyless) Value(any) any { return nil }

const selected = "EVENKEEL_WORKFLOWTEST_BROKEN"

func TestFindsWhatIsBroken(t *testing.T) {
	for name, tt := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$/^"+tt.want+"$", "-test.timeout=1m")
			cmd.Env = append(os.Environ(), selected+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestBroken/"+tt.want) || strings.Contains(string(out), "panic: ") {
				t.Errorf("suite ended with %v, want it to fail and to say %q:\n%s", err, tt.want, out)
			}
		})
	}
}

// TestBroken runs in a process of its own, where it fails.
func TestBroken(t *testing.T) {
	name := os.Getenv(selected)
	if name == "" {
		t.Skip("is run by TestFindsWhatIsBroken")
	}
	run(t, broken[name].engine)
}

// TestEngine checks that what is broken above is broken on purpose.
func TestEngine(t *testing.T) { run(t, engine{}) }

func run(t *testing.T, e engine) {
	workflowtest.Run(t, func(t *testing.T) workflow.Engine {
		sound := memory.New(memory.Config{Retry: workflowtest.Retry()})
		t.Cleanup(func() { _ = sound.Close() })
		broken := e
		broken.Engine = sound
		return &broken
	})
}
