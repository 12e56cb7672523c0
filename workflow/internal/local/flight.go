package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A flight is a run on its way in this process.
type flight struct {
	engine *Engine
	key    Key
	flow   flow
	ctx    context.Context // has the values of the first caller's; ends when the engine is closed
	cancel context.CancelCauseFunc

	loaded chan struct{} // closed when record is set, or there is an err
	record *Record
	done   chan struct{} // closed at the end
	err    error         // why the run is not finished

	mu  sync.Mutex
	now workflow.Status
}

func newFlight(ctx context.Context, e *Engine, key Key, flow flow) *flight {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	return &flight{
		engine: e, key: key, flow: flow, ctx: ctx, cancel: cancel,
		loaded: make(chan struct{}), done: make(chan struct{}),
	}
}

// errNotStarted is that of flights whose first caller had another input than the run, or
// wanted to resume one that is gone.
var errNotStarted = errors.New("not started")

// start has the run of the given input carried out, if it is not finished. If input is nil,
// there has to be a run.
func (f *flight) start(input json.RawMessage) {
	f.record, f.err = f.engine.store.Load(f.key)
	resumed := f.record != nil
	switch {
	case f.err != nil:
	case resumed:
		if f.record.End == nil && input != nil && !bytes.Equal(input, f.record.Begin.Input) {
			f.err = errNotStarted
		}
	case input == nil:
		f.err = errNotStarted
	default:
		f.record = &Record{Key: f.key, Begin: Begin{Input: input, At: time.Now()}}
	}
	close(f.loaded)
	if f.err != nil || f.record.End != nil {
		f.land()
		return
	}
	go f.carryOut(resumed)
}

func (f *flight) land() {
	f.engine.land(f)
	f.cancel(nil)
	close(f.done)
}

// join waits for the end of the run, if that has the given input.
func (f *flight) join(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	select {
	case <-f.loaded:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.record != nil && !bytes.Equal(input, f.record.Begin.Input) {
		return nil, workflow.ErrConflict
	}
	select {
	case <-f.done:
		return f.result()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (f *flight) result() (json.RawMessage, error) {
	switch {
	case f.err != nil:
		return nil, f.err
	case f.record.End.Failure != nil:
		return nil, f.record.End.Failure
	default:
		return bytes.Clone(f.record.End.Output), nil
	}
}

// carryOut calls the flow and records what it comes to.
func (f *flight) carryOut(resumed bool) {
	defer f.land()
	growStack(0)
	ctx, span := f.startSpan(resumed)
	r := &run{flight: f, ctx: ctx, span: span}
	if !resumed {
		f.record.Begin.TraceParent = traceParent(ctx)
		r.put(0)
	}
	var out json.RawMessage
	err := errGoexit
	defer func() {
		tellStack(span, err)
		f.err = r.conclude(out, err)
		f.endSpan(span)
	}()
	defer recovered(&err)
	out, err = f.flow.fn(r, bytes.Clone(f.record.Begin.Input))
}

// growStack has the stack of a new goroutine grow while there is next to nothing on it. A
// flow's steps and their JSON need that room anyway; to grow bit by bit below them, and copy
// each time what is there, takes a third of the time of a run in memory.
//
//go:noinline
func growStack(i int) byte {
	var room [8 << 10]byte
	return room[i]
}

func (f *flight) endSpan(span trace.Span) {
	if f.err != nil {
		endSpan(f.ctx, span, f.err)
		return
	}
	_, err := f.result()
	endSpan(f.ctx, span, err)
}

// say has the listing tell something.
func (f *flight) say(now workflow.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

func (f *flight) status() workflow.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}
