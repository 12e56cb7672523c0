package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
	"github.com/evenkeel-go/evenkeel/workflow/workflowtest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

// open returns an engine that knows the given flows.
func open(t testing.TB, path string, config journal.Config, flows ...workflow.Flow[int, int]) *journal.Engine {
	t.Helper()
	e, err := journal.Open(path, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for _, f := range flows {
		if err := f.On(e); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "flows.db")
}

// wants runs a flow whose result is known.
func wants(t *testing.T, e workflow.Engine, f workflow.Flow[int, int], id string, in, want int) {
	t.Helper()
	if got, err := f.Run(t.Context(), e, id, in); got != want || err != nil {
		t.Errorf("Run() = %d, %v, want %d", got, err, want)
	}
}

// quadruple returns a flow of two steps, which it counts.
func quadruple(steps *atomic.Int32) workflow.Flow[int, int] {
	double := workflow.NewStep("double", nil, func(_ context.Context, n int) (int, error) {
		steps.Add(1)
		return 2 * n, nil
	})
	return workflow.NewFlow("quadruple", func(r workflow.Run, n int) (int, error) {
		n, err := double.Do(r, n)
		if err != nil {
			return 0, err
		}
		return double.Do(r, n)
	}, double)
}

func TestConformance(t *testing.T) {
	workflowtest.Run(t, func(t *testing.T) workflow.Engine {
		return open(t, newPath(t), journal.Config{Retry: workflowtest.Retry()})
	})
}

func TestResultsOutlastTheEngine(t *testing.T) {
	var steps atomic.Int32
	flow, path := quadruple(&steps), newPath(t)
	declined := workflow.NewFlow("declined", func(workflow.Run, int) (int, error) { return 0, errors.New("card declined") })
	for range 3 {
		e := open(t, path, journal.Config{}, flow, declined)
		wants(t, e, flow, "17", 10, 40)
		if _, err := flow.Run(t.Context(), e, "17", 11); !errors.Is(err, workflow.ErrConflict) {
			t.Errorf("Run() with another input = %v, want ErrConflict", err)
		}
		const want = `workflow: run "17" of "declined": card declined`
		if _, err := declined.Run(t.Context(), e, "17", 10); err == nil || err.Error() != want {
			t.Errorf("Run() = %v, want %s", err, want)
		}
		if err := e.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	}
	if got := steps.Load(); got != 2 {
		t.Errorf("%d steps were carried out, want 2", got)
	}
}

// Names, ids and JSON are kept as they are, whatever is in them.
func TestOddNamesAndInputs(t *testing.T) {
	path := newPath(t)
	names := []string{"a", "a/b", "a%2Fb", "ü", "a\x00", "", " "}
	inputs := []string{`"<&>"`, "\"\u2028\"", `"\u003c"`, `null`, `{"b":1,"a":[1.0,1e400]}`}
	echo := func(_ workflow.Run, in json.RawMessage) (json.RawMessage, error) { return in, nil }
	for range 2 {
		e := open(t, path, journal.Config{})
		for _, flow := range names {
			if err := e.Register(flow, echo, nil); err != nil {
				t.Fatal(err)
			}
			for _, id := range names {
				for _, in := range inputs {
					out, err := e.Run(t.Context(), flow, id+in, json.RawMessage(in))
					if string(out) != in || err != nil {
						t.Errorf("Run(%q, %q, %s) = %s, %v, want its input", flow, id+in, in, out, err)
					}
				}
			}
		}
		runs := 0
		for s, err := range e.Runs(t.Context()) {
			if runs++; err != nil || s.State != workflow.Succeeded {
				t.Errorf("Runs() = %+v, %v, want runs that have succeeded", s, err)
			}
		}
		if want := len(names) * len(names) * len(inputs); runs != want {
			t.Errorf("there are %d runs, want %d", runs, want)
		}
		e.Close()
	}
}

func TestRunsListsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := workflow.NewStep("work", nil, func(ctx context.Context, n int) (int, error) {
			switch n {
			case 0:
				return 0, nil
			case 1:
				<-ctx.Done()
				return 0, context.Cause(ctx)
			default:
				return 0, errors.New("down")
			}
		})
		flow := workflow.NewFlow("work", func(r workflow.Run, n int) (int, error) {
			if n == 3 {
				return 0, r.Sleep(time.Hour)
			}
			if n == 4 {
				return 0, errors.New("no")
			}
			return work.Do(r, n)
		}, work)
		path, start := newPath(t), time.Now()
		e := open(t, path, journal.Config{}, flow)
		var callers sync.WaitGroup
		for n := range 5 {
			callers.Go(func() { _, _ = flow.Run(t.Context(), e, fmt.Sprint(n), n) })
		}
		time.Sleep(90 * time.Second)
		list := func(e *journal.Engine) string {
			var text strings.Builder
			for s, err := range e.Runs(t.Context()) {
				if err != nil || s.Flow != "work" || !s.Begun.Equal(start) || s.Ended.IsZero() == (s.State >= workflow.Succeeded) {
					t.Errorf("Runs() = %+v, %v, want a run of work that was begun at once", s, err)
				}
				fmt.Fprintf(&text, "%s %v", s.ID, s.State)
				if s.Step != "" {
					fmt.Fprintf(&text, " step=%s attempts=%d", s.Step, s.Attempts)
				}
				if !s.Next.IsZero() {
					fmt.Fprintf(&text, " next=%v", s.Next.Sub(start))
				}
				if s.Err != nil {
					fmt.Fprintf(&text, " err=%v", s.Err)
				}
				text.WriteString("\n")
			}
			return text.String()
		}
		const want = `0 succeeded
1 running step=work attempts=1
2 waiting step=work attempts=2 next=3m0s err=step "work": down
3 waiting next=1h0m0s
4 failed err=no
`
		if got := list(e); got != want {
			t.Errorf("Runs() =\n%swant\n%s", got, want)
		}
		e.Close()
		callers.Wait()

		e = open(t, path, journal.Config{})
		const stuck = `0 succeeded
1 stuck step=work attempts=1
2 stuck step=work attempts=2 err=step "work": down
3 stuck
4 failed err=no
`
		if got := list(e); got != stuck {
			t.Errorf("after a restart, Runs() =\n%swant\n%s", got, stuck)
		}
		if err := e.Resume(t.Context()); strings.Count(err.Error(), `workflow: unknown flow "work"`) != 3 {
			t.Errorf("Resume() without flows = %v, want ErrUnknown three times", err)
		}
		e.Close()
		for s, err := range e.Runs(t.Context()) {
			if !errors.Is(err, workflow.ErrClosed) {
				t.Errorf("Runs() of a closed engine = %+v, %v, want ErrClosed", s, err)
			}
		}
	})
}

// Who lists runs may run and end others meanwhile, and break off.
func TestRunsCanBeUsedWithin(t *testing.T) {
	var steps atomic.Int32
	flow := quadruple(&steps)
	e := open(t, newPath(t), journal.Config{}, flow)
	run := func(prefix string, n int) {
		var callers sync.WaitGroup
		for i := range n {
			callers.Go(func() { wants(t, e, flow, fmt.Sprint(prefix, i), i, 4*i) })
		}
		callers.Wait()
	}
	run("a", 250)
	seen := make(map[string]int)
	for s, err := range e.Runs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[s.ID]++; len(seen)%50 == 1 {
			run(fmt.Sprint("b", len(seen)), 10)
		}
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("run %s is listed %d times", id, n)
		}
	}
	if len(seen) < 250 {
		t.Errorf("%d runs are listed, want at least 250", len(seen))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	n := 0
	for _, err := range e.Runs(ctx) {
		if n++; err != nil && (err.Error() != "enough" || n != 101) {
			t.Errorf("Runs() = %v after %d runs, want its cause after a page", err, n-1)
		}
		cancel(errors.New("enough"))
	}
	for _, err := range e.Runs(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func TestFinishedRunsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps atomic.Int32
		flow, path := quadruple(&steps), newPath(t)
		config := journal.Config{KeepFinished: 24 * time.Hour}
		e := open(t, path, config, flow)
		sleeper := workflow.NewFlow("sleeper", func(r workflow.Run, n int) (int, error) { return n, r.Sleep(100 * 24 * time.Hour) })
		if err := sleeper.On(e); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = sleeper.Run(t.Context(), e, "1", 1) }()
		const many = 450 // more than are forgotten at a time
		var callers sync.WaitGroup
		for i := range many {
			callers.Go(func() { wants(t, e, flow, fmt.Sprint(i), i, 4*i) })
		}
		callers.Wait()
		count := func(e *journal.Engine) (n int) {
			for _, err := range e.Runs(t.Context()) {
				if n++; err != nil {
					t.Error(err)
				}
			}
			return n
		}
		time.Sleep(12 * time.Hour)
		wants(t, e, flow, "late", 1, 4)
		time.Sleep(12 * time.Hour)
		if got := count(e); got != many+2 {
			t.Errorf("after a day, there are %d runs, want %d", got, many+2)
		}
		time.Sleep(2 * time.Hour)
		if got := count(e); got != 2 {
			t.Errorf("later, there are %d runs, want 2", got)
		}
		wants(t, e, flow, "7", 8, 32) // a new one
		e.Close()

		time.Sleep(48 * time.Hour)
		e = open(t, path, config, flow)
		synctest.Wait()
		if got := count(e); got != 1 {
			t.Errorf("after it was opened again, there are %d runs, want 1", got)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := filepath.Join(dir, "foreign.db")
	edit(t, foreign, func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
	newer := filepath.Join(dir, "newer.db")
	open(t, newer, journal.Config{}).Close()
	edit(t, newer, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("evenkeel journal 2"))
	})
	inUse := filepath.Join(dir, "in-use.db")
	open(t, inUse, journal.Config{})

	tests := []struct {
		path   string
		config journal.Config
		target error
		want   string
	}{
		{path: write("empty", ""), target: journal.ErrDamaged, want: "it is empty"},
		{path: write("short", "x"), target: journal.ErrDamaged},
		{path: write("text", strings.Repeat("Dear diary,\n", 2000)), target: journal.ErrDamaged},
		{path: write("sqlite", "SQLite format 3\x00"+strings.Repeat("\x10\x00\x01\x01\x00\x40\x20\x20", 3000)), target: journal.ErrDamaged},
		{path: foreign, target: journal.ErrDamaged, want: "it has no bucket meta"},
		{path: newer, want: `invalid format "evenkeel journal 2": want "evenkeel journal 1"`},
		{path: inUse, target: journal.ErrInUse, want: "in use: only one engine may have it open"},
		{path: dir, want: "invalid file of mode drwx"},
		{path: "", want: `invalid path "": want that of a file`},
		{path: filepath.Join(dir, "no", "such", "dir"), target: os.ErrNotExist},
		{path: filepath.Join(dir, "new"), config: journal.Config{KeepFinished: -1}, want: "invalid KeepFinished -1ns"},
		{path: filepath.Join(dir, "new"), config: journal.Config{Retry: workflow.Retry{MaxInterval: -1}}, want: "retry: invalid MaxInterval"},
	}
	for _, tt := range tests {
		before, _ := os.ReadFile(tt.path)
		start := time.Now()
		_, err := journal.Open(tt.path, tt.config)
		if err == nil || !strings.HasPrefix(err.Error(), "journal: "+tt.path+": ") || !strings.Contains(err.Error(), tt.want) || tt.target != nil && !errors.Is(err, tt.target) {
			t.Errorf("Open(%s) = %v, want %q, %v", tt.path, err, tt.want, tt.target)
		}
		if after, _ := os.ReadFile(tt.path); string(after) != string(before) {
			t.Errorf("Open(%s) = %v has changed the file", tt.path, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Open(%s) took %v", tt.path, took)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was created for a bad configuration: %v", err)
	}
}

// edit changes a database behind the journal's back.
func edit(t *testing.T, path string, change func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
}

// A delay goes on where it was, and a step is given up when it was to be, whatever the
// number of processes.
func TestDelaysOutlastTheEngine(t *testing.T) {
	for _, tt := range []struct {
		name string
		keep bool // the engine is not closed
	}{{"one engine", true}, {"many engines", false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var at []string
				start := time.Now()
				step := workflow.NewStep("step", nil, func(context.Context, int) (int, error) {
					if at = append(at, time.Since(start).String()); len(at) == 2 {
						return 0, busy{}
					}
					return 0, errors.New("down")
				})
				flow, path := workflow.NewFlow("flow", step.Do, step), newPath(t)
				config := journal.Config{Retry: workflow.Retry{GiveUpAfter: time.Hour}}
				e := open(t, path, config, flow)
				var err error
				for done := false; !done; {
					ctx, cancel := context.WithTimeout(t.Context(), 17*time.Minute)
					if _, err = flow.Run(ctx, e, "1", 1); !errors.Is(err, context.DeadlineExceeded) {
						done = true
					}
					cancel()
					if !done && !tt.keep {
						e.Close()
						time.Sleep(time.Second)
						e = open(t, path, config, flow)
					}
				}
				if got, want := strings.Join(at, " "), "0s 1m0s 31m0s 33m0s 37m0s 45m0s"; got != want {
					t.Errorf("attempts began after %s, want %s", got, want)
				}
				const want = `workflow: run "1" of "flow": step "step": down (given up after 45m0s)`
				if err.Error() != want || !workflow.IsPermanent(err) {
					t.Errorf("Run() = %v, want %s", err, want)
				}
			})
		})
	}
}

// busy is an error that says when to come back.
type busy struct{}

func (busy) Error() string                     { return "busy" }
func (busy) RetryAfter() (time.Duration, bool) { return 30 * time.Minute, true }

// Runs that are committed together do not fail together: here one has an id that is too
// long for the database.
func TestOneBadWriteIsNoHarmToOthers(t *testing.T) {
	var steps atomic.Int32
	flow := quadruple(&steps)
	e := open(t, newPath(t), journal.Config{}, flow)
	var callers sync.WaitGroup
	for n := range 200 {
		callers.Go(func() {
			if n%10 == 0 {
				out, err := e.Run(t.Context(), "quadruple", fmt.Sprint(n, strings.Repeat("x", 40_000)), json.RawMessage("1"))
				if err == nil || !strings.Contains(err.Error(), "key too large") {
					t.Errorf("Run() with a long id = %s, %v, want that the key is too large", out, err)
				}
				return
			}
			wants(t, e, flow, fmt.Sprint(n), n, 4*n)
		})
	}
	callers.Wait()
	if got := steps.Load(); got != 360 {
		t.Errorf("%d steps were carried out, want 360", got)
	}
}
