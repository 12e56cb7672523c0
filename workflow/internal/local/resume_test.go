package local_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

func TestRunsGoOnWhereTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var keys []string
		store := local.NewMemory(time.Hour)
		var healthy atomic.Bool
		a := j.step("a")
		b := j.does("b", func(ctx context.Context) error {
			keys = append(keys, workflow.Key(ctx))
			if healthy.Load() {
				return nil
			}
			return blocks(ctx)
		})
		flow := sequence("ab", &a, &b)

		first := open(t, store, local.Config{}, flow)
		var caller sync.WaitGroup
		caller.Go(func() { unfinished(t, first, flow, workflow.ErrClosed) })
		synctest.Wait()
		first.Close()
		caller.Wait()
		unfinished(t, first, flow, workflow.ErrClosed)
		j.want(t, "a", "b")

		healthy.Store(true)
		second := open(t, store, local.Config{}, flow)
		if s := status(t, second); s.State != workflow.Stuck || s.Flow != "ab" || s.ID != "1" {
			t.Errorf("before Resume: %+v, want run 1 of ab to be stuck", s)
		}
		if err := second.Resume(t.Context()); err != nil {
			t.Errorf("Resume() = %v, want nil", err)
		}
		synctest.Wait()
		j.want(t, "b")
		wants(t, second, flow, 2)
		j.want(t)
		if len(keys) != 2 || keys[0] != keys[1] {
			t.Errorf("keys of b are %q, want the same twice", keys)
		}
	})
}

func TestRunResumes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		store := local.NewMemory(time.Hour)
		a, b, hanging := j.step("a"), j.step("b"), j.does("b", blocks)
		before, after := sequence("ab", &a, &hanging), sequence("ab", &a, &b)
		first := open(t, store, local.Config{}, before)
		go func() { _, _ = before.Run(t.Context(), first, "1", 0) }()
		synctest.Wait()
		first.Close()
		j.want(t, "a", "b")

		second := open(t, store, local.Config{}, after)
		if _, err := after.Run(t.Context(), second, "1", 1); !errors.Is(err, workflow.ErrConflict) {
			t.Errorf("Run() with another input = %v, want ErrConflict", err)
		}
		synctest.Wait()
		j.want(t)
		var callers sync.WaitGroup
		for i := range 20 {
			callers.Go(func() {
				n, err := after.Run(t.Context(), second, "1", i%2)
				if i%2 == 0 && (n != 2 || err != nil) || i%2 == 1 && !errors.Is(err, workflow.ErrConflict) {
					t.Errorf("Run() with input %d = %d, %v, want 2 for input 0, and ErrConflict for others", i%2, n, err)
				}
			})
		}
		callers.Wait()
		j.want(t, "b")
	})
}

// A store whose Load waits, once it is told to.
type slow struct {
	*local.Memory
	load chan struct{}
}

func (s slow) Load(key local.Key) (*local.Record, error) {
	<-s.load
	return s.Memory.Load(key)
}

// Who joins a caller with another input is not refused with him.
func TestRunOutlastsAnothersConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		store := local.NewMemory(time.Hour)
		a, hanging := j.step("a"), j.does("a", blocks)
		before, after := sequence("a", &hanging), sequence("a", &a)
		first := open(t, store, local.Config{}, before)
		go func() { _, _ = before.Run(t.Context(), first, "1", 0) }()
		synctest.Wait()
		first.Close()

		loading := slow{store, make(chan struct{})}
		second := open(t, loading, local.Config{}, after)
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := after.Run(t.Context(), second, "1", 1); !errors.Is(err, workflow.ErrConflict) {
				t.Errorf("Run() with another input = %v, want ErrConflict", err)
			}
		})
		synctest.Wait()
		callers.Go(func() { wants(t, second, after, 1) })
		synctest.Wait()
		close(loading.load)
		callers.Wait()
	})
}

func TestChangedCodeIsNotRun(t *testing.T) {
	var j journal
	a, b, c := j.step("a"), j.step("b"), j.step("c")
	hanging := j.does("hanging", blocks)
	tests := []struct {
		name        string
		then, since []*step
		want        string
	}{
		{"another step", []*step{&a, &b, &hanging}, []*step{&a, &c, &b, &hanging}, `number 2 is recorded as step "b", and the code comes to step "c"`},
		{"a sleep for a step", []*step{&a, &b, &hanging}, []*step{&a, nil, &b}, `number 2 is recorded as step "b", and the code comes to a sleep`},
		{"a step for a sleep", []*step{&a, nil, &hanging}, []*step{&a, &b}, `number 2 is recorded as a sleep, and the code comes to step "b"`},
		{"an earlier end", []*step{&a, &b, &hanging}, []*step{&a}, `number 2 is recorded as step "b", and the code comes to its end`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := local.NewMemory(time.Hour)
				then, since := sequence("f", tt.then...), sequence("f", tt.since...)
				first := open(t, store, local.Config{}, then)
				go func() { _, _ = then.Run(t.Context(), first, "1", 0) }()
				time.Sleep(2 * time.Hour)
				first.Close()
				j.steps = nil

				second := open(t, store, local.Config{}, since)
				if text := unfinished(t, second, since, workflow.ErrChanged); !strings.Contains(text, tt.want) {
					t.Errorf("Run() = %s, want %s", text, tt.want)
				}
				j.want(t)
				if s := status(t, second); s.State != workflow.Stuck || !errors.Is(s.Err, workflow.ErrChanged) {
					t.Errorf("Runs() = %+v, want one that is stuck by ErrChanged", s)
				}
				second.Close()

				third := open(t, store, local.Config{}, then)
				if err := third.Resume(t.Context()); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				j.want(t, "hanging")
			})
		})
	}
}

func TestSleepsOutlastTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		a, b := j.step("a"), j.step("b")
		flow, store, start := sequence("sleeper", &a, nil, &b), local.NewMemory(time.Hour), time.Now()
		first := open(t, store, local.Config{}, flow)
		go func() { _, _ = flow.Run(t.Context(), first, "1", 0) }()
		time.Sleep(20 * time.Minute)
		if s := status(t, first); s.State != workflow.Waiting || s.Next.Sub(start) != time.Hour || s.Step != "" || !s.Begun.Equal(start) {
			t.Errorf("Runs() = %+v, want one that sleeps until an hour has passed", s)
		}
		if r, err := store.Load(local.Key{Flow: "sleeper", ID: "1"}); err != nil || len(r.Entries) != 2 {
			t.Errorf("the record is %+v, %v, want the sleep to be in it", r, err)
		}
		first.Close()
		time.Sleep(20 * time.Minute)
		second := open(t, store, local.Config{}, flow)
		wants(t, second, flow, 2)
		if took := time.Since(start); took != time.Hour {
			t.Errorf("the run took %v, want 1h", took)
		}
		j.want(t, "a", "b")
	})
}

func TestResumeReportsWhatItCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		hanging := j.does("hanging", blocks)
		known, unknown := sequence("known", &hanging), sequence("unknown", &hanging)
		store := local.NewMemory(time.Hour)
		first := open(t, store, local.Config{}, known, unknown)
		for _, flow := range []flow{known, unknown} {
			go func() { _, _ = flow.Run(t.Context(), first, "1", 0) }()
		}
		synctest.Wait()
		first.Close()
		j.want(t, "hanging", "hanging")

		second := open(t, store, local.Config{}, known)
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		if err := second.Resume(canceled); err == nil || err.Error() != "enough" {
			t.Errorf("Resume() = %v when its context has ended, want its cause", err)
		}
		j.want(t)
		for range 2 {
			err := second.Resume(t.Context())
			if !errors.Is(err, workflow.ErrUnknown) || err.Error() != `run "1" of "unknown": workflow: unknown flow "unknown"` {
				t.Errorf("Resume() = %v, want ErrUnknown of run 1 of unknown", err)
			}
			synctest.Wait()
		}
		j.want(t, "hanging")
		for s, err := range second.Runs(t.Context()) {
			if isUnknown := s.Flow == "unknown"; err != nil || isUnknown != (s.State == workflow.Stuck) || isUnknown != errors.Is(s.Err, workflow.ErrUnknown) {
				t.Errorf("Runs() = %+v, %v, want unknown to be stuck by ErrUnknown, and known to be at work", s, err)
			}
		}
		second.Close()
		if err := second.Resume(t.Context()); !errors.Is(err, workflow.ErrClosed) {
			t.Errorf("Resume() of a closed engine = %v, want ErrClosed", err)
		}
	})
}

// A run whose code cannot read what is recorded stays as it is: it neither fails, nor undoes
// what it has done.
func TestWhatCannotBeReadIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		store := local.NewMemory(time.Hour)
		a, undo, hanging := j.step("a"), j.step("undo"), j.does("b", blocks)
		then := sequence("f", &a, &hanging)
		first := open(t, store, local.Config{}, then)
		go func() { _, _ = then.Run(t.Context(), first, "1", 0) }()
		synctest.Wait()
		first.Close()
		j.want(t, "a", "b")

		texts := workflow.NewStep("a", nil, func(context.Context, int) (string, error) { return "", nil })
		tests := []struct {
			since interface{ On(workflow.Engine) error }
			want  string
		}{
			{workflow.NewFlow("f", func(r workflow.Run, n int) (string, error) {
				text, err := texts.Do(r, n)
				if workflow.IsPermanent(err) {
					_, err = undo.Do(r, n)
				}
				return text, err
			}, texts, undo), `result of step "a": json: cannot unmarshal number into Go value of type string`},
			{workflow.NewFlow("f", func(_ workflow.Run, text string) (string, error) {
				return text, nil
			}), "input: json: cannot unmarshal number into Go value of type string"},
		}
		for _, tt := range tests {
			second := open(t, store, local.Config{})
			if err := tt.since.On(second); err != nil {
				t.Fatal(err)
			}
			if err := second.Resume(t.Context()); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if s := status(t, second); s.State != workflow.Stuck || !errors.Is(s.Err, workflow.ErrChanged) || !strings.HasSuffix(s.Err.Error(), tt.want) {
				t.Errorf("Runs() = %+v, want one that is stuck by ErrChanged: %s", s, tt.want)
			}
			second.Close()
			j.want(t)
		}
	})
}

// Who comes with another input changes nothing of a run that is stuck, nor of why it is.
func TestConflictDoesNotHideWhyARunIsStuck(t *testing.T) {
	var j journal
	a, b := j.step("a"), j.step("b")
	flow := sequence("ab", &a, &b)
	e := open(t, &failing{Memory: local.NewMemory(time.Hour), fails: map[int]bool{2: true}}, local.Config{}, flow)
	unfinished(t, e, flow, errFull)
	if _, err := flow.Run(t.Context(), e, "1", 1); !errors.Is(err, workflow.ErrConflict) {
		t.Errorf("Run() with another input = %v, want ErrConflict", err)
	}
	if s := status(t, e); s.State != workflow.Stuck || !errors.Is(s.Err, errFull) {
		t.Errorf("Runs() = %+v, want one that is stuck by %v", s, errFull)
	}
}

// What was under way at a crash is known afterwards, as it may have taken effect: another step
// does not come in its place, by the same key.
func TestStepUnderWayIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		store := local.NewMemory(time.Hour)
		a, b, hanging := j.step("a"), j.step("b"), j.does("hanging", blocks)
		then, since := sequence("f", &a, &hanging), sequence("f", &a, &b)
		first := open(t, store, local.Config{}, then)
		go func() { _, _ = then.Run(t.Context(), first, "1", 0) }()
		synctest.Wait()
		first.Close()
		j.want(t, "a", "hanging")

		second := open(t, store, local.Config{}, since)
		if s := status(t, second); s.State != workflow.Stuck || s.Step != "hanging" || s.Attempts != 1 || s.Err != nil {
			t.Errorf("Runs() = %+v, want one that is stuck at the first attempt of step hanging", s)
		}
		const want = `number 2 is recorded as step "hanging", and the code comes to step "b"`
		if text := unfinished(t, second, since, workflow.ErrChanged); !strings.Contains(text, want) {
			t.Errorf("Run() = %s, want %s", text, want)
		}
		j.want(t)
	})
}
