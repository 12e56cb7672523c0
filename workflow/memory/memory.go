// Package memory has an engine for flows that need not survive the process, and for tests.
//
//	engine, err := memory.New(memory.Config{})
//	err = Place.On(engine)
//	receipt, err := Place.Run(ctx, engine, order.ID, order)
package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// Config configures an [Engine]. The zero Config is ready to use.
type Config struct {
	// Retry says how steps are tried again that their pipelines have given up.
	Retry workflow.Retry

	// KeepFinished is how long the result of a run is kept, and its id known.
	// Default: 1 hour.
	KeepFinished time.Duration

	// TracerProvider is where spans go. Default: the global provider.
	TracerProvider trace.TracerProvider
}

// An Engine is a [workflow.Engine] that forgets everything when the process ends. Make one
// with [New]. It is safe for concurrent use, and has no goroutines but those of runs that are
// under way.
type Engine struct {
	local *local.Engine
}

// New returns an engine that knows no flows yet. Its error says what is wrong with config.
func New(config Config) (*Engine, error) {
	keep := cmp.Or(config.KeepFinished, time.Hour)
	if keep < 0 {
		return nil, fmt.Errorf("memory: invalid KeepFinished %v: want more than 0", keep)
	}
	engine, err := local.New(local.NewMemory(keep), local.Config{Retry: config.Retry, TracerProvider: config.TracerProvider})
	if err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	return &Engine{engine}, nil
}

// Register implements [workflow.Engine].
func (e *Engine) Register(flow string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	return e.local.Register(flow, fn, steps)
}

// Run implements [workflow.Engine]. The contexts of steps have the values of the ctx that the
// run was begun with, such as its span.
func (e *Engine) Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	return e.local.Run(ctx, flow, id, in)
}

// Runs returns how all runs are getting on, in no particular order.
func (e *Engine) Runs(ctx context.Context) iter.Seq2[workflow.Status, error] {
	return e.local.Runs(ctx)
}

// Close ends the runs that are under way by ending the contexts of their steps, and waits
// for them; their errors match [workflow.ErrClosed]. It must not be called by a flow or a
// step. It returns nil.
func (e *Engine) Close() error {
	e.local.Close()
	return nil
}
