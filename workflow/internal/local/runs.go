package local

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// Resume starts all runs that are not finished, and that nobody is at work on. It returns
// when they are started. Its error joins those of runs that cannot be, because their flow
// is unknown or their record is damaged.
func (e *Engine) Resume(ctx context.Context) error {
	var errs []error
	for key, err := range e.store.Unfinished() {
		if ctx.Err() != nil {
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
		if err == nil {
			err = e.resume(ctx, key)
		}
		if errors.Is(err, workflow.ErrClosed) {
			return err
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (e *Engine) resume(ctx context.Context, key Key) error {
	f, first, err := e.claim(ctx, key)
	if err != nil {
		e.strand(key, err)
		return key.named(err)
	}
	if !first {
		return nil
	}
	f.start(nil) //nolint:contextcheck // A flight has a context of its own.
	if f.record == nil && !errors.Is(f.err, errNotStarted) {
		return key.named(f.err)
	}
	return nil
}

// strand takes down why a run cannot be resumed.
func (e *Engine) strand(key Key, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stuck[key] = err
}

// Runs returns how all runs are getting on, in no particular order.
func (e *Engine) Runs(ctx context.Context) iter.Seq2[workflow.Status, error] {
	return func(yield func(workflow.Status, error) bool) {
		for record, err := range e.store.All(ctx) {
			err = record.named(err)
			if !yield(e.status(record, err), err) {
				return
			}
		}
	}
}

func (e *Engine) status(r *Record, err error) workflow.Status {
	s := workflow.Status{State: workflow.Stuck, Err: err}
	if err == nil {
		s = e.whole(r)
	}
	s.Flow, s.ID, s.Begun = r.Flow, r.ID, r.Begin.At
	return s
}

func (e *Engine) whole(r *Record) workflow.Status {
	if r.End != nil {
		return ended(r.End)
	}
	e.mu.Lock()
	f, why := e.flights[r.Key], e.stuck[r.Key]
	e.mu.Unlock()
	if f != nil {
		return f.status()
	}
	// It may have landed since r was read.
	if again, err := e.store.Load(r.Key); err == nil && again != nil && again.End != nil {
		return ended(again.End)
	}
	return stuck(r, why)
}

func ended(end *End) workflow.Status {
	if end.Failure != nil {
		return workflow.Status{State: workflow.Failed, Err: end.Failure, Ended: end.At}
	}
	return workflow.Status{State: workflow.Succeeded, Ended: end.At}
}

// stuck returns what is told of a run that nobody is at work on, for a reason that may be
// known.
func stuck(r *Record, why error) workflow.Status {
	var s workflow.Status
	if n := len(r.Entries); n > 0 && !r.Entries[n-1].done() {
		s = waiting(r.Entries[n-1])
		if s.Step != "" && s.Next.IsZero() { // It was under way.
			s.Attempts++
		}
	}
	s.State, s.Next = workflow.Stuck, time.Time{}
	if why != nil {
		s.Err = why
	}
	return s
}

// waiting returns what is told of a run that waits for e.
func waiting(e Entry) workflow.Status {
	return workflow.Status{
		State: workflow.Waiting, Step: e.Step, Attempts: e.Attempts, Next: e.Until.Round(0), Err: lastError(e),
	}
}

// lastError returns the failure of e as an error.
func lastError(e Entry) error {
	if e.Failure == nil {
		return nil
	}
	return e.Failure
}
