// Package journal has an engine whose flows survive the death of the process, on one
// machine, in one file.
//
//	engine, err := journal.Open("orders.db", journal.Config{})
//	err = Place.On(engine)
//	err = engine.Resume(ctx) // what a crash has interrupted
//	receipt, err := Place.Run(ctx, engine, order.ID, order)
//
// # What it promises
//
// The file is a database of [go.etcd.io/bbolt]. What a run has come to is synced to the
// disk before the run does anything else: its input before the first step is carried out,
// the name of a step before it is, its result before the next one is, and the result of the
// run before anybody is told. A flow of n steps has n+1 syncs; runs that are at it at the same
// time share them.
//
// So after a crash, [Engine.Resume] has each run go on at the step that was under way. If
// the step was done, but not recorded, it is carried out again, with the same
// [workflow.Key].
//
// # What it is not
//
// One process has the file open. There are no queues, timetables, signals or clusters:
// who needs these has his flows run by package temporal, unchanged.
//
// The file does not shrink. What has become free in it is used again.
package journal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

var (
	// ErrInUse matches the errors of files that are open already, in another process or
	// in this one.
	ErrInUse = errors.New("in use: only one engine may have it open")

	// ErrDamaged matches the errors of files, or records in them, that are not as they
	// were written, and of files that are no journals.
	ErrDamaged = errors.New("damaged, or not a journal")
)

// Config configures an [Engine]. The zero Config is ready to use.
type Config struct {
	// Retry says how steps are tried again that their pipelines have given up.
	Retry workflow.Retry

	// KeepFinished is how long the result of a run is kept, and its id known.
	// Default: 30 days.
	KeepFinished time.Duration

	// TracerProvider is where spans go. Default: the global provider.
	TracerProvider trace.TracerProvider
}

// An Engine is a [workflow.Engine] on a file. Make one with [Open]. It is safe for
// concurrent use.
type Engine struct {
	local *local.Engine
	store *store
}

// Open returns an engine on the file of the given path, which it creates if there is none.
// It knows no flows yet. The engine is to be closed.
//
// The structure of the whole file is checked, which takes a few seconds for each million runs
// in it. If it is damaged, or if it is no journal, not even an empty one, the error
// matches [ErrDamaged], and the file is left as it is. It matches [ErrInUse] if the file is
// open already.
func Open(path string, config Config) (*Engine, error) {
	e, err := open(path, config)
	if err != nil {
		return nil, fmt.Errorf("journal: %s: %w", path, withoutPath(err))
	}
	return e, nil
}

func open(path string, config Config) (*Engine, error) {
	keep := cmp.Or(config.KeepFinished, 30*24*time.Hour)
	if keep < 0 {
		return nil, fmt.Errorf("invalid KeepFinished %v: want more than 0", keep)
	}
	if err := config.Retry.Validate(); err != nil {
		return nil, fmt.Errorf("retry: %w", err)
	}
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := newStore(f, keep)
	return &Engine{local.New(s, local.Config{Retry: config.Retry, TracerProvider: config.TracerProvider}), s}, nil
}

// Register implements [workflow.Engine]. It comes before Resume.
func (e *Engine) Register(flow string, fn workflow.FlowFunc, steps map[string]workflow.StepFunc) error {
	return e.local.Register(flow, fn, steps)
}

// Run implements [workflow.Engine]. The contexts of steps have the values of the ctx that the
// run was begun or resumed with in this process, such as its span.
//
// What cannot be recorded, because the disk is full say, ends the run for now; the error
// names the file. To run it again resumes it.
func (e *Engine) Run(ctx context.Context, flow, id string, in json.RawMessage) (json.RawMessage, error) {
	out, err := e.local.Run(ctx, flow, id, in)
	return out, e.named(err)
}

// named returns err with the file. What comes from the store has it already, and a failure of
// a run is not the file's.
func (e *Engine) named(err error) error {
	for _, target := range []error{workflow.ErrConflict, workflow.ErrChanged, workflow.ErrUnknown} {
		if errors.Is(err, target) {
			return e.store.named(err)
		}
	}
	return err
}

// Resume starts all runs that are not finished, and that nobody is at work on. It returns
// when they are started, and does not wait for their ends. Its error joins those of runs
// that cannot be started, because their flow is unknown or their record is damaged. The
// contexts of steps have the values of ctx.
//
// It is called after all flows have been registered, and may be called again, for instance
// after a disk was full. All runs go on at the same time; what limits them are the bulkheads
// of their pipelines.
func (e *Engine) Resume(ctx context.Context) error { return e.named(e.local.Resume(ctx)) }

// Runs returns how all runs in the file are getting on, in the order of their flows and ids.
// A run whose record is damaged comes with an error, and the runs after it follow.
func (e *Engine) Runs(ctx context.Context) iter.Seq2[workflow.Status, error] {
	return e.local.Runs(ctx)
}

// Close ends the runs that are under way by ending the contexts of their steps, waits for
// them, and closes the file. Their errors match [workflow.ErrClosed]; they go on when the
// file is opened again. It must not be called by a flow or a step.
func (e *Engine) Close() error {
	e.local.Close()
	return e.store.close()
}
