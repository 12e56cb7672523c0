package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

func TestRegisterRefuses(t *testing.T) {
	e := open(t, local.NewMemory(time.Hour), local.Config{})
	fn := func(workflow.Run, json.RawMessage) (json.RawMessage, error) { return nil, nil }
	if err := e.Register("f", nil, nil); err == nil || err.Error() != "invalid function nil" {
		t.Errorf("Register() of nil = %v, want an error", err)
	}
	if err := e.Register("f", fn, nil); err != nil {
		t.Errorf("Register() = %v, want nil", err)
	}
	if err := e.Register("f", fn, nil); err == nil || err.Error() != "invalid name: another flow has it" {
		t.Errorf("Register() of the same name = %v, want an error", err)
	}
	e.Close()
	e.Close()
	if err := e.Register("g", fn, nil); !errors.Is(err, workflow.ErrClosed) {
		t.Errorf("Register() after Close = %v, want ErrClosed", err)
	}
}

func TestInputIsComparedAsJSON(t *testing.T) {
	e := open(t, local.NewMemory(time.Hour), local.Config{})
	echo := func(_ workflow.Run, in json.RawMessage) (json.RawMessage, error) { return in, nil }
	if err := e.Register("echo", echo, nil); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{`{"a":1}`, ` { "a" : 1 } `} {
		if out, err := e.Run(t.Context(), "echo", "1", json.RawMessage(in)); string(out) != `{"a":1}` || err != nil {
			t.Errorf("Run(%s) = %s, %v, want it without spaces", in, out, err)
		}
	}
	for _, in := range []string{"", "{", "1 2"} {
		if out, err := e.Run(t.Context(), "echo", "2", json.RawMessage(in)); err == nil || !strings.HasPrefix(err.Error(), "input: ") {
			t.Errorf("Run(%s) = %s, %v, want an error", in, out, err)
		}
	}
}

type contextKey struct{}

func TestStepsHaveTheValuesOfTheFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := workflow.NewStep("s", nil, func(ctx context.Context, _ int) (any, error) {
			time.Sleep(time.Hour)
			deadline, _ := ctx.Deadline()
			return []any{ctx.Value(contextKey{}), time.Until(deadline) < time.Hour, ctx.Err() != nil}, nil
		})
		flow := workflow.NewFlow("f", s.Do, s)
		e := open(t, local.NewMemory(24*time.Hour), local.Config{})
		if err := flow.On(e); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), contextKey{}, "value"), time.Minute)
		defer cancel()
		if _, err := flow.Run(ctx, e, "1", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run() = %v, want that the deadline is exceeded", err)
		}
		if _, err := flow.Run(ctx, e, "2", 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run() = %v, want that the deadline is exceeded", err)
		}
		got, err := flow.Run(t.Context(), e, "1", 0)
		if text, _ := json.Marshal(got); string(text) != `["value",false,false]` || err != nil {
			t.Errorf("the step's context has value, deadline, end %s, %v, want the value only", text, err)
		}
		if s := status(t, e); s.ID != "1" || s.State != workflow.Succeeded || s.Ended.Sub(s.Begun) != time.Hour {
			t.Errorf("Runs() = %+v, want that of 1, as 2 was never begun", s)
		}
	})
}

// What ends the goroutine that it is called on is a failure like any other.
func TestGoexit(t *testing.T) {
	var j journal
	a, exits := j.step("a"), j.does("exits", func(context.Context) error { runtime.Goexit(); return nil })
	inStep := sequence("in-step", &a, &exits)
	inFlow := workflow.NewFlow("in-flow", func(r workflow.Run, n int) (int, error) {
		_, _ = a.Do(r, n)
		runtime.Goexit()
		return 0, nil
	}, a)
	e := open(t, local.NewMemory(time.Hour), local.Config{}, inStep, inFlow)
	for range 2 {
		for flow, want := range map[*flow]string{&inStep: "exits", &inFlow: ""} {
			_, err := flow.Run(t.Context(), e, "1", 0)
			f, ok := errors.AsType[*workflow.Failure](err)
			if !ok || f.Step() != want || !workflow.IsPermanent(f) || !strings.Contains(f.Error(), "runtime.Goexit was called") || f.ErrorType() != "panic" {
				t.Errorf("Run() = %v, want a permanent failure of step %q by Goexit", err, want)
			}
		}
	}
	if len(j.steps) != 3 {
		t.Errorf("steps %q were carried out, want three", j.steps)
	}
}

// A store whose Save fails, of the given numbers from 1.
type failing struct {
	*local.Memory
	fails map[int]bool
	saves int
}

var errFull = errors.New("no space left on device")

func (f *failing) Save(r *local.Record, from int) error {
	f.saves++
	if f.fails[f.saves] {
		return errFull
	}
	return f.Memory.Save(r, from)
}

func TestWhatCannotBeSavedStopsTheRun(t *testing.T) {
	tests := []struct {
		fails        int
		first, again []string
	}{
		{1, nil, []string{"a", "b"}},
		{2, []string{"a"}, []string{"a", "b"}},
		{3, []string{"a", "b"}, []string{"b"}},
	}
	for _, tt := range tests {
		var j journal
		a, b := j.step("a"), j.step("b")
		flow := sequence("ab", &a, &b)
		e := open(t, &failing{Memory: local.NewMemory(time.Hour), fails: map[int]bool{tt.fails: true}}, local.Config{}, flow)
		unfinished(t, e, flow, errFull)
		j.want(t, tt.first...)
		wants(t, e, flow, 2)
		j.want(t, tt.again...)
	}
}

// A flow that does not pass on why it is stopped cannot change that.
func TestStoppedRunsDoNothing(t *testing.T) {
	var j journal
	a, b := j.step("a"), j.step("b")
	stubborn := workflow.NewFlow("stubborn", func(r workflow.Run, n int) (int, error) {
		var errs [4]error
		_, errs[0] = a.Do(r, n)
		_, errs[1] = b.Do(r, n)
		errs[2] = r.Sleep(time.Hour)
		_, errs[3] = a.Do(r, n)
		if errs[0] != nil || errs[1] == nil || errs[2] != errs[1] || errs[3] != errs[1] {
			t.Errorf("errors are %v, want none and then the same", errs)
		}
		panic("not heeded")
	}, a, b)
	store := &failing{Memory: local.NewMemory(time.Hour), fails: map[int]bool{2: true}}
	e := open(t, store, local.Config{}, stubborn)
	unfinished(t, e, stubborn, errFull)
	j.want(t, "a")
	if store.saves != 2 {
		t.Errorf("the store was used %d times, want 2", store.saves)
	}
	if s := status(t, e); s.State != workflow.Stuck || !errors.Is(s.Err, errFull) {
		t.Errorf("Runs() = %+v, want a run that is stuck", s)
	}
}

// A step begins when that is saved, and all that came before it, and what is saved of an
// unknown step's run is not lost.
func TestStepsBeginWhenWhatCameBeforeIsSaved(t *testing.T) {
	store := local.NewMemory(time.Hour)
	saved := func(want int) func(context.Context) error {
		return func(context.Context) error {
			r, err := store.Load(local.Key{Flow: "abc", ID: "1"})
			if err != nil || r == nil || len(r.Entries) != want || r.Entries[want-1].Output != nil {
				t.Errorf("the record is %+v, %v, want one of %d steps, the last under way", r, err, want)
			}
			return nil
		}
	}
	var j journal
	a, b, c := j.does("a", saved(1)), j.does("b", saved(2)), j.does("c", saved(3))
	flow := sequence("abc", &a, &b, &c)
	e := open(t, store, local.Config{}, flow)
	wants(t, e, flow, 3)

	var late journal
	x, y := late.step("x"), late.step("y")
	forgetful := workflow.NewFlow("forgetful", func(r workflow.Run, n int) (int, error) {
		if _, err := x.Do(r, n); err != nil {
			return 0, err
		}
		return y.Do(r, n)
	}, x)
	if err := forgetful.On(e); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		unfinished(t, e, forgetful, workflow.ErrUnknown)
	}
	late.want(t, "x")
}

// A flow that tries again for ever, whatever the error, is ended with its run.
func TestFlowsThatIgnoreErrorsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		poll := workflow.NewStep("poll", nil, func(context.Context, int) (bool, error) { return false, nil })
		waits := func(r workflow.Run, n int) (int, error) {
			for {
				if ready, _ := poll.Do(r, n); ready {
					return n, nil
				}
				_ = r.Sleep(time.Minute)
			}
		}
		deferring := func(r workflow.Run, n int) (int, error) {
			defer func() { _, _ = waits(r, n) }()
			return waits(r, n)
		}
		for _, fn := range []func(workflow.Run, int) (int, error){waits, deferring} {
			flow, store := workflow.NewFlow("waits", fn, poll), local.NewMemory(time.Hour)
			e := open(t, store, local.Config{}, flow)
			var caller sync.WaitGroup
			caller.Go(func() { unfinished(t, e, flow, workflow.ErrClosed) })
			time.Sleep(10*time.Minute + time.Second)
			e.Close()
			caller.Wait()
			if r, err := store.Load(local.Key{Flow: "waits", ID: "1"}); err != nil || r == nil || r.End != nil || len(r.Entries) != 22 {
				t.Errorf("the record is %+v, %v, want one of 22 entries and no end", r, err)
			}
		}
	})
}
