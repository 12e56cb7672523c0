package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A run is a flight to its flow.
type run struct {
	*flight
	ctx     context.Context // with span
	span    trace.Span
	ordinal int   // of the last step or sleep
	err     error // what ended the run for now
	refused int   // how often the flow was told since

	unsaved bool // whether the record has entries that are not saved
	from    int  // the first of them
}

// ID implements [workflow.Run].
func (r *run) ID() string { return r.key.ID }

// Step implements [workflow.Run].
func (r *run) Step(name string, in json.RawMessage) (json.RawMessage, error) {
	e, err := r.next(name)
	if err != nil {
		return nil, err
	}
	if e.done() {
		return e.result()
	}
	fn, ok := r.flow.steps[name]
	if !ok {
		return nil, r.stop(fmt.Errorf("%w step %q", workflow.ErrUnknown, name))
	}
	for !e.done() {
		if err := r.try(&e, fn, in); err != nil {
			return nil, r.stop(err)
		}
	}
	return e.result()
}

// Sleep implements [workflow.Run].
func (r *run) Sleep(d time.Duration) error {
	e, err := r.next("")
	if err != nil {
		return err
	}
	if e.Until.IsZero() {
		e.Until = time.Now().Add(d)
		r.set(e)
	}
	if err := r.wait(e); err != nil {
		return r.stop(err)
	}
	return nil
}

// next returns the next entry, if it is one of the given step, or of a sleep if that
// is "". If there is none, the entry is new.
func (r *run) next(step string) (Entry, error) {
	if r.err != nil {
		return Entry{}, r.refuse()
	}
	r.ordinal++
	if r.ordinal > len(r.record.Entries) {
		return Entry{Step: step}, nil
	}
	e := r.record.Entries[r.ordinal-1]
	if e.Step != step {
		return Entry{}, r.stop(changed(r.ordinal, describe(e.Step), describe(step)))
	}
	return e, nil
}

// stop ends the run for now.
func (r *run) stop(err error) error {
	r.err = err
	return err
}

// maxRefused is how often a flow may ignore that it is stopped, which one that tries again for
// ever does.
const maxRefused = 100

// refuse returns why the run is stopped.
func (r *run) refuse() error {
	if r.refused++; r.refused > maxRefused {
		runtime.Goexit()
	}
	return r.err
}

// set makes e the entry of the current ordinal, to be saved by the next flush.
func (r *run) set(e Entry) {
	entries := r.record.Entries
	r.record.Entries = append(entries[:min(r.ordinal-1, len(entries))], e)
	r.put(r.ordinal)
}

func (r *run) put(ordinal int) {
	if !r.unsaved {
		r.unsaved, r.from = true, ordinal
	}
}

// flush saves what is not saved. It comes before everything that cannot be taken back.
// What could not be saved is given up, as the run is then stopped.
func (r *run) flush() error {
	if !r.unsaved {
		return nil
	}
	r.unsaved = false
	return r.engine.store.Save(r.record, r.from)
}

// wait waits until e may go on.
func (r *run) wait(e Entry) error {
	d := time.Until(e.Until)
	if d <= 0 {
		return nil
	}
	r.say(waiting(e))
	if err := r.flush(); err != nil {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.say(workflow.Status{})
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// conclude records what the flow has come to. Its error is why the run is not finished.
func (r *run) conclude(out json.RawMessage, err error) error {
	switch {
	case r.err != nil:
	case errors.Is(err, workflow.ErrChanged):
		r.err = err
	case r.ordinal < len(r.record.Entries):
		r.err = changed(r.ordinal+1, describe(r.record.Entries[r.ordinal].Step), "its end")
	}
	if r.err != nil {
		if err := r.flush(); err != nil {
			return fmt.Errorf("%w, and then: %w", r.err, err)
		}
		return r.err
	}
	if err == nil {
		err = validate(out)
	}
	step := "" // to blame
	if errors.Is(err, errGoexit) {
		step = r.now.Step
	}
	r.record.End = &End{Failure: workflow.NewFailure(step, err), At: time.Now()}
	if err == nil {
		r.record.End.Output = out
	}
	r.put(len(r.record.Entries) + 1)
	if err := r.flush(); err != nil {
		r.record.End = nil
		return err
	}
	return nil
}

func changed(ordinal int, recorded, taken string) error {
	return fmt.Errorf("%w: number %d is recorded as %s, and the code comes to %s", workflow.ErrChanged, ordinal, recorded, taken)
}

func describe(step string) string {
	if step == "" {
		return "a sleep"
	}
	return fmt.Sprintf("step %q", step)
}
