// Package local runs flows in this process. It is what the engines of packages memory
// and journal have in common: an engine over a [Store].
package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// Config configures an [Engine]. The zero Config is ready to use.
type Config struct {
	// Retry says how steps are tried again that their pipelines have given up.
	Retry workflow.Retry

	// TracerProvider is where spans go. Default: the global provider.
	TracerProvider trace.TracerProvider
}

// An Engine is a [workflow.Engine] that runs each run in a goroutine of its own. Make one
// with [New]. It is safe for concurrent use.
type Engine struct {
	store  Store
	retry  workflow.Retry
	tracer trace.Tracer

	running sync.WaitGroup // of flights

	mu      sync.Mutex
	closed  bool
	flows   map[string]flow
	flights map[Key]*flight
	stuck   map[Key]error // why runs that are not finished have no flight
}

type flow struct {
	fn    workflow.FlowFunc
	steps map[string]workflow.StepFunc
}

// New returns an engine whose runs are recorded in store. The config has to be valid.
func New(store Store, config Config) *Engine {
	return &Engine{
		store:   store,
		retry:   config.Retry,
		tracer:  tracerOf(config.TracerProvider),
		flows:   make(map[string]flow),
		flights: make(map[Key]*flight),
		stuck:   make(map[Key]error),
	}
}

// Register implements [workflow.Engine].
func (e *Engine) Register(name string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	if fn == nil {
		return errors.New("invalid function nil")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return workflow.ErrClosed
	}
	if _, ok := e.flows[name]; ok {
		return errors.New("invalid name: another flow has it")
	}
	e.flows[name] = flow{fn, maps.Clone(steps)}
	return nil
}

// Run implements [workflow.Engine].
func (e *Engine) Run(ctx context.Context, name, id string, in json.RawMessage) (json.RawMessage, error) {
	input, err := compact(in)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	for ctx.Err() == nil {
		f, first, err := e.claim(ctx, Key{name, id})
		if err != nil {
			return nil, err
		}
		if first {
			f.start(input) //nolint:contextcheck // A flight has a context of its own.
		}
		out, err := f.join(ctx, input)
		if !errors.Is(err, errNotStarted) {
			return out, err
		}
	}
	return nil, context.Cause(ctx)
}

// claim returns the flight of a run. If first, it is a new one, which the caller starts.
func (e *Engine) claim(ctx context.Context, key Key) (f *flight, first bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, false, workflow.ErrClosed
	}
	if f := e.flights[key]; f != nil {
		return f, false, nil
	}
	flow, ok := e.flows[key.Flow]
	if !ok {
		return nil, false, fmt.Errorf("%w flow %q", workflow.ErrUnknown, key.Flow)
	}
	f = newFlight(ctx, e, key, flow)
	e.flights[key] = f
	e.running.Add(1)
	return f, true, nil
}

// land is called at the end of a flight. What it did not finish is stuck.
func (e *Engine) land(f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.flights, f.key)
	switch {
	case f.err == nil:
		delete(e.stuck, f.key)
	case !errors.Is(f.err, errNotStarted):
		e.stuck[f.key] = f.err
	}
	e.running.Done()
}

// Close ends all runs, which go on when they are resumed, and waits for their goroutines.
// It must not be called by a flow or a step.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	for _, f := range e.flights {
		f.cancel(workflow.ErrClosed)
	}
	e.mu.Unlock()
	e.running.Wait()
}

func compact(in json.RawMessage) (json.RawMessage, error) {
	var out bytes.Buffer
	out.Grow(len(in))
	err := json.Compact(&out, in)
	return out.Bytes(), err
}
