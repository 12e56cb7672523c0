// Package memory has an engine for flows that need not survive the process, and for tests.
//
//	engine := memory.New(memory.Config{})
//	err := Place.On(engine)
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
	config Config
	local  *local.Engine
}

// New returns an engine that knows no flows yet.
func New(config Config) *Engine {
	config.KeepFinished = cmp.Or(config.KeepFinished, time.Hour)
	store := local.NewMemory(config.KeepFinished)
	return &Engine{config, local.New(store, local.Config{Retry: config.Retry, TracerProvider: config.TracerProvider})}
}

// Validate reports what is wrong with the engine's configuration.
func (e *Engine) Validate() error {
	if e.config.KeepFinished < 0 {
		return fmt.Errorf("memory: invalid KeepFinished %v: want more than 0", e.config.KeepFinished)
	}
	if err := e.config.Retry.Validate(); err != nil {
		return fmt.Errorf("memory: retry: %w", err)
	}
	return nil
}

// Register implements [workflow.Engine]. It reports what is wrong with the engine, too.
func (e *Engine) Register(flow string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	if err := e.Validate(); err != nil {
		return err
	}
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
