package workflowtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// A refusal is an error that says all that a failure keeps.
type refusal struct{}

func (refusal) Error() string       { return "402 Payment Required" }
func (refusal) Class() policy.Class { return policy.Permanent }
func (refusal) ErrorType() string   { return "402" }

func keepsFailure(t *testing.T, e workflow.Engine) {
	var s server
	flow := single("charge", s.step("charge", func(int) error { return refusal{} }))
	on(t, e, flow)
	id := newID()
	for range 2 {
		f := fails(t, e, flow, id, 7)
		const want = `step "charge": 402 Payment Required`
		if f.Error() != want || f.Step() != "charge" || f.Class() != policy.Permanent || f.ErrorType() != "402" {
			t.Errorf("Run() = %q of step %q, class %v, type %q, want %q of charge, permanent, 402", f, f.Step(), f.Class(), f.ErrorType(), want)
		}
	}
	s.wantCalls(t, 1)
}

func keepsFlowFailure(t *testing.T, e workflow.Engine) {
	var s server
	step := s.step("step", until(1, nil))
	flow := workflow.NewFlow("unhappy", func(r workflow.Run, n int) (int, error) {
		if _, err := step.Do(r, n); err != nil {
			return 0, err
		}
		return 0, errors.New("not what I wanted")
	}, step)
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, flow, id, 7); f.Error() != "not what I wanted" || f.Step() != "" {
			t.Errorf("Run() = %q of step %q, want the flow's own error of none", f, f.Step())
		}
	}
	s.wantCalls(t, 1)
}

func compensates(t *testing.T, e workflow.Engine) {
	var stock, payments, undone server
	reserve := stock.step("reserve", until(1, nil))
	charge := payments.step("charge", func(int) error { return refusal{} })
	release := undone.step("release", until(1, nil))
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		n, err := reserve.Do(r, n)
		if err != nil {
			return 0, err
		}
		n, err = charge.Do(r, n)
		if f, ok := errors.AsType[*workflow.Failure](err); ok && workflow.IsPermanent(err) && f.Step() == "charge" && f.ErrorType() == "402" {
			_, undo := release.Do(r, n)
			return 0, errors.Join(err, undo)
		}
		return n, err
	}, reserve, charge, release)
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, flow, id, 7); f.Step() != "charge" || !workflow.IsPermanent(f) {
			t.Errorf("Run() = %v of step %q, want the permanent failure of charge", f, f.Step())
		}
	}
	for _, s := range []*server{&stock, &payments, &undone} {
		s.wantCalls(t, 1)
	}
}

func failsResults(t *testing.T, e workflow.Engine) {
	var calls atomic.Int32
	bad := func(context.Context, int) (any, error) {
		calls.Add(1)
		return make(chan int), nil
	}
	step := single("bad-step", workflow.NewStep("bad", nil, bad))
	flow := workflow.NewFlow("bad-flow", func(workflow.Run, int) (any, error) { return make(chan int), nil })
	on(t, e, step)
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, step, id, 1); f.Step() != "bad" || !workflow.IsPermanent(f) {
			t.Errorf("Run() = %v of step %q, want a permanent failure of bad", f, f.Step())
		}
		if f := fails(t, e, flow, id, 1); f.Step() != "" || !workflow.IsPermanent(f) {
			t.Errorf("Run() = %v of step %q, want a permanent failure of none", f, f.Step())
		}
	}
	if got := calls.Load(); got != 1 {
		t.Errorf("the step was carried out %d times, want once", got)
	}
}

func survivesStepPanic(t *testing.T, e workflow.Engine) {
	var s server
	flow := single("panics", s.step("panics", func(call int) error {
		if call == 1 {
			panic("lost my head")
		}
		return nil
	}))
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, flow, id, 7); !strings.Contains(f.Error(), "lost my head") || f.Step() != "panics" || !workflow.IsPermanent(f) {
			t.Errorf("Run() = %v of step %q, want the panic's value, permanent, of step panics", f, f.Step())
		}
	}
	s.wantCalls(t, 1)
	wants(t, e, flow, newID(), 8, 8)
}

func survivesFlowPanic(t *testing.T, e workflow.Engine) {
	var s server
	step := s.step("step", until(1, nil))
	flow := workflow.NewFlow("panicking", func(r workflow.Run, n int) (int, error) {
		n, err := step.Do(r, n)
		if n == 7 {
			panic("lost my head")
		}
		return n, err
	}, step)
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, flow, id, 7); !strings.Contains(f.Error(), "lost my head") || !workflow.IsPermanent(f) {
			t.Errorf("Run() = %v, want the panic's value, permanent", f)
		}
	}
	s.wantCalls(t, 1)
	wants(t, e, flow, newID(), 8, 8)
}

// unreadable is what can be recorded, but not read.
type unreadable struct{}

func (unreadable) MarshalJSON() ([]byte, error) { return []byte("1"), nil }
func (*unreadable) UnmarshalJSON([]byte) error  { return errors.New("not what I know") }

func keepsUnreadable(t *testing.T, e workflow.Engine) {
	var s server
	changed := workflow.NewStep("changed", nil, func(context.Context, int) (unreadable, error) { return unreadable{}, nil })
	undo := s.step("undo", until(1, nil))
	flow := workflow.NewFlow("changed-flow", func(r workflow.Run, n int) (int, error) {
		_, err := changed.Do(r, n)
		if workflow.IsPermanent(err) {
			return undo.Do(r, n)
		}
		return n, fmt.Errorf("changed: %w", err)
	}, changed, undo)
	on(t, e, flow)
	_, err := run(t, e, flow, newID(), 7)
	if _, failed := errors.AsType[*workflow.Failure](err); !errors.Is(err, workflow.ErrChanged) || failed || !strings.Contains(err.Error(), `"changed"`) {
		t.Errorf("Run() = %v, want %v that names step changed", err, workflow.ErrChanged)
	}
	s.wantCalls(t, 0)
}

func refusesUnknownFlow(t *testing.T, e workflow.Engine) {
	flow := workflow.NewFlow("unknown", func(_ workflow.Run, n int) (int, error) { return n, nil })
	_, err := run(t, e, flow, newID(), 7)
	if _, failed := errors.AsType[*workflow.Failure](err); !errors.Is(err, workflow.ErrUnknown) || failed {
		t.Errorf("Run() = %v, want %v", err, workflow.ErrUnknown)
	}
}

func refusesUnknownStep(t *testing.T, e workflow.Engine) {
	var s server
	known, other := s.step("known", until(1, nil)), s.step("other", until(1, nil))
	flow := workflow.NewFlow("forgetful", func(r workflow.Run, n int) (int, error) {
		n, err := known.Do(r, n)
		if err != nil {
			return 0, err
		}
		_, _ = other.Do(r, n) // is not in the list below
		return n, nil
	}, known)
	on(t, e, flow)
	_, err := run(t, e, flow, newID(), 7)
	if _, failed := errors.AsType[*workflow.Failure](err); !errors.Is(err, workflow.ErrUnknown) || failed || !strings.Contains(err.Error(), "other") {
		t.Errorf("Run() = %v, want %v that names step other", err, workflow.ErrUnknown)
	}
	s.wantCalls(t, 1)
}
