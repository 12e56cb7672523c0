package temporal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// An Engine runs flows on Temporal. Make one with [New]. It is safe for concurrent use.
type Engine struct {
	client client.Client
	queue  string
	config Config

	closing context.Context // ends when the engine is closed
	close   context.CancelFunc

	mu     sync.Mutex
	flows  map[string]*flow
	worker worker.Worker // nil until it is wanted
}

// New returns an engine whose flows and steps are tasks of the given queue. The client is
// the caller's to close, after the engine. What is wrong is reported by [workflow.Flow.On].
func New(c client.Client, queue string, config Config) *Engine {
	e := &Engine{client: c, queue: queue, config: config.withDefaults(), flows: make(map[string]*flow)}
	e.closing, e.close = context.WithCancel(context.Background())
	return e
}

// Register implements [workflow.Engine]. It is an error once there is a worker, which
// would not know the flow.
func (e *Engine) Register(name string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closing.Err() != nil:
		return workflow.ErrClosed
	case e.flows[name] != nil:
		return fmt.Errorf("temporal: invalid flow %q: want each once", name)
	case e.worker != nil:
		return fmt.Errorf("temporal: flow %q comes too late: want all flows before the first is run", name)
	case strings.HasPrefix(name, reserved):
		return fmt.Errorf("temporal: invalid flow %q: want a name that does not begin with %s", name, reserved)
	}
	e.flows[name] = &flow{name, fn, steps, e.config}
	return nil
}

func (e *Engine) validate() error {
	errs := []error{e.config.Validate()}
	if e.client == nil {
		errs = append(errs, errors.New("invalid client nil"))
	}
	if e.queue == "" {
		errs = append(errs, errors.New(`invalid queue "": want a name`))
	}
	return errors.Join(errs...)
}

// reserved is how names begin that Temporal keeps for itself.
const reserved = "__temporal_"

// Resume starts a worker, which goes on with all runs that are unfinished, and returns
// once it has reached Temporal. It does nothing if there is a worker already, as there is
// once a flow was run, or if [Config.StartOnly] is set. ctx has no effect.
func (e *Engine) Resume(context.Context) error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("temporal: %w", err)
	}
	return e.work()
}

func (e *Engine) work() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing.Err() != nil {
		return workflow.ErrClosed
	}
	if e.worker != nil || e.config.StartOnly {
		return nil
	}
	w := worker.New(e.client, e.queue, e.config.Worker)
	for _, f := range e.flows {
		f.register(w)
	}
	if err := w.Start(); err != nil {
		return fmt.Errorf("temporal: worker: %w", err)
	}
	e.worker = w
	return nil
}

// Run implements [workflow.Engine]. It starts a worker if there is none, unless
// [Config.StartOnly] is set.
func (e *Engine) Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	if err := e.ready(flow); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(e.closing, func() { cancel(workflow.ErrClosed) })() //nolint:contextcheck // Whichever ends first.
	out, err := e.run(ctx, flow, id, in)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, err
}

// ready makes sure that there is somebody to run a flow.
func (e *Engine) ready(flow string) error {
	e.mu.Lock()
	known := e.flows[flow] != nil
	e.mu.Unlock()
	if !known {
		return fmt.Errorf("%w flow %q", workflow.ErrUnknown, flow)
	}
	return e.work()
}

// Close stops the worker, if there is one. It cancels the steps that are under way here, which
// other workers take up, and waits for them, for Config.Worker.WorkerStopTimeout at most. Those
// who wait for a run get [workflow.ErrClosed]; the run goes on where there are other
// workers.
func (e *Engine) Close() error {
	e.close()
	e.mu.Lock()
	w := e.worker
	e.worker = nil
	e.mu.Unlock()
	if w != nil {
		w.Stop()
	}
	return nil
}
