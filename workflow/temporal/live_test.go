package temporal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
	"github.com/evenkeel-go/evenkeel/workflow/workflowtest"
)

// An outcome is what a run has come to.
type outcome struct {
	out string
	err error
}

// begin runs a flow whose input is a directory.
func begin(t *testing.T, c client.Client, config temporal.Config, id, dir string) <-chan outcome {
	t.Helper()
	engine := temporal.New(c, crashQueue, config)
	if err := crashFlow.On(engine); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	ended := make(chan outcome, 1)
	go func() {
		out, err := crashFlow.Run(context.WithoutCancel(t.Context()), engine, id, dir)
		ended <- outcome{out, err}
	}()
	return ended
}

// checkEffects checks that the first step was carried out once, and the second so many times.
func checkEffects(t *testing.T, dir, id string, second int) {
	t.Helper()
	want := append([]string{"first crash/" + id + "/1"}, slices.Repeat([]string{"second crash/" + id + "/2"}, second)...)
	if got := effects(t, dir); !slices.Equal(got, want) {
		t.Errorf("effects %q, want %q", got, want)
	}
}

func await(t *testing.T, ended <-chan outcome) {
	t.Helper()
	select {
	case o := <-ended:
		if o.out != "done" || o.err != nil {
			t.Errorf("Run() = %q, %v; want done", o.out, o.err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the run does not end")
	}
}

func TestConformance(t *testing.T) {
	s := newServer(t)
	c := s.dial(t)
	workflowtest.Run(t, func(t *testing.T) workflow.Engine {
		engine := temporal.New(c, t.Name(), temporal.Config{Retry: workflowtest.Retry()})
		t.Cleanup(func() { engine.Close() })
		return engine
	})
}

// TestKilledWorker tests that a step whose worker is killed in its midst is carried out by another
// worker once its heartbeats are missed, and the step before it is not.
func TestKilledWorker(t *testing.T) {
	s := newServer(t)
	for _, timeout := range []time.Duration{10 * time.Second, 2 * time.Second} {
		dir, id := t.TempDir(), "killed-"+timeout.String()
		unhang := hang(t, dir)
		first := startWorker(t, s, timeout)
		ended := begin(t, s.dial(t), temporal.Config{StartOnly: true}, id, dir)
		awaitEffects(t, dir, 2)
		unhang()
		second := startWorker(t, s, timeout)
		killProcess(first)
		killed := time.Now()
		await(t, ended)
		t.Logf("with a heartbeat timeout of %v the run has recovered within %v", timeout, time.Since(killed))
		checkEffects(t, dir, id, 2)
		killProcess(second)
	}
}

// TestKilledServer tests that a run survives the death of the server in the midst of a step, and
// that who waits for the run does not notice.
func TestKilledServer(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	unhang := hang(t, dir)
	ended := begin(t, s.dial(t), crashConfig(2*time.Second), "17", dir)
	awaitEffects(t, dir, 2)
	s.kill()
	time.Sleep(3 * time.Second)
	unhang()
	s.start(t)
	await(t, ended)
	checkEffects(t, dir, "17", 2)
}

// TestClosedWorker tests that the step of an engine that is closed is taken up by another worker at
// once, and not when it would be tried again.
func TestClosedWorker(t *testing.T) {
	c := newServer(t).dial(t)
	dir := t.TempDir()
	unhang := hang(t, dir)
	engine := temporal.New(c, crashQueue, crashConfig(time.Minute))
	if err := crashFlow.On(engine); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := crashFlow.Run(context.WithoutCancel(t.Context()), engine, "17", dir)
		ended <- err
	}()
	awaitEffects(t, dir, 2)
	unhang()
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, workflow.ErrClosed) {
		t.Errorf("Run() on a closed engine = %v, want ErrClosed", err)
	}
	closed := time.Now()
	await(t, begin(t, c, crashConfig(time.Minute), "17", dir))
	if took := time.Since(closed); took > 20*time.Second {
		t.Errorf("the step was taken up after %v, want at once", took)
	}
	checkEffects(t, dir, "17", 2)
}

// TestNobodyThere tests that a step is given up that nobody has carried out.
func TestNobodyThere(t *testing.T) {
	config := temporal.Config{Retry: workflow.Retry{InitialInterval: time.Second, GiveUpAfter: time.Second}}
	config.Worker.LocalActivityWorkerOnly = true
	engine := temporal.New(newServer(t).dial(t), "nobody", config)
	defer engine.Close()
	calls := 0
	flow := only(workflow.NewStep("charge", nil, failing(&calls)))
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	_, err := flow.Run(t.Context(), engine, "17", 1)
	f, ok := errors.AsType[*workflow.Failure](err)
	if !ok || !workflow.IsPermanent(f) || f.Step() != "charge" || f.ErrorType() != "timeout" || calls != 0 {
		t.Errorf("Run() = %v after %d calls, want a permanent failure of charge of type timeout, and no calls", err, calls)
	}
	t.Log(err)
}

// TestOddIDs tests that a run may have any id that is valid, and knows it.
func TestOddIDs(t *testing.T) {
	engine := temporal.New(newServer(t).dial(t), "odd", temporal.Config{})
	defer engine.Close()
	key := workflow.NewStep("schlüssel", nil, func(ctx context.Context, id string) (string, error) { return workflow.Key(ctx) + " of " + id, nil })
	flow := workflow.NewFlow("größe", func(r workflow.Run, _ int) (string, error) { return key.Do(r, r.ID()) }, key)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"17":                     "gr%C3%B6%C3%9Fe/17/1 of 17",
		"a/b c":                  "gr%C3%B6%C3%9Fe/a%2Fb%20c/1 of a/b c",
		"50%25":                  "gr%C3%B6%C3%9Fe/50%2525/1 of 50%25",
		"日本":                     "gr%C3%B6%C3%9Fe/%E6%97%A5%E6%9C%AC/1 of 日本",
		strings.Repeat("ü", 100): "gr%C3%B6%C3%9Fe/" + strings.Repeat("%C3%BC", 100) + "/1 of " + strings.Repeat("ü", 100),
	} {
		for range 2 {
			if got, err := flow.Run(t.Context(), engine, id, 1); got != want || err != nil {
				t.Errorf("Run(%q) = %q, %v, want %q", id, got, err, want)
			}
		}
	}
}

// TestTooMuch tests that what is larger than Temporal takes is a failure, and no retry.
func TestTooMuch(t *testing.T) {
	c := newServer(t).dial(t)
	much := strings.Repeat("x", 3<<20)
	grow := workflow.NewStep("grow", nil, func(context.Context, string) (string, error) { return much, nil })
	keep := workflow.NewStep("keep", nil, func(_ context.Context, s string) (string, error) { return s, nil })
	for name, fn := range map[string]func(workflow.Run, string) (string, error){
		"result of a step": grow.Do,
		"result":           func(workflow.Run, string) (string, error) { return much, nil },
		"input of a step":  func(r workflow.Run, _ string) (string, error) { return keep.Do(r, much) },
	} {
		engine := temporal.New(c, name, temporal.Config{})
		flow := workflow.NewFlow(name, fn, grow, keep)
		if err := flow.On(engine); err != nil {
			t.Fatal(err)
		}
		_, err := flow.Run(t.Context(), engine, "17", "")
		if _, ok := errors.AsType[*workflow.Failure](err); !ok || !strings.Contains(err.Error(), "exceeds") || strings.Contains(err.Error(), "given up") {
			t.Errorf("Run() with a large %s = %v, want a failure that says so", name, err)
		}
		t.Log(err)
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFarTooMuch tests that what no server takes is a failure too, and that no step is carried out
// again and again for it.
func TestFarTooMuch(t *testing.T) {
	c := newServer(t).dial(t)
	much, calls := strings.Repeat("x", 5<<20), 0
	grow := workflow.NewStep("grow", nil, func(context.Context, string) (string, error) { calls++; return much, nil })
	keep := workflow.NewStep("keep", nil, func(_ context.Context, s string) (string, error) { return s, nil })
	const size = "5242882 bytes: want 4000000 at most"
	for _, tt := range []struct {
		name, in, want string
		fn             func(workflow.Run, string) (string, error)
	}{
		{"result of a step", "", `step "grow": result of ` + size, grow.Do},
		{"result", "", "result of " + size, func(workflow.Run, string) (string, error) { return much, nil }},
		{"input of a step", "", `step "keep": input of ` + size, func(r workflow.Run, _ string) (string, error) { return keep.Do(r, much) }},
		{"input", much, "input of " + size, keep.Do},
	} {
		engine := temporal.New(c, tt.name, temporal.Config{HeartbeatTimeout: time.Second})
		flow := workflow.NewFlow(tt.name, tt.fn, grow, keep)
		if err := flow.On(engine); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := flow.Run(ctx, engine, "17", tt.in)
		cancel()
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) || !workflow.IsPermanent(err) {
			t.Errorf("Run() with a large %s = %v, want %s, permanent", tt.name, err, tt.want)
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}
	if calls != 1 {
		t.Errorf("the step was carried out %d times, want once", calls)
	}
}

// TestBegunByOthers tests that Temporal's own tools can begin a run, and that Run does not take
// it for one of its own.
func TestBegunByOthers(t *testing.T) {
	c := newServer(t).dial(t)
	dir := t.TempDir()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "crash/17", TaskQueue: crashQueue}, "crash", dir)
	if err != nil {
		t.Fatal(err)
	}
	if o := <-begin(t, c, crashConfig(time.Second), "17", dir); !errors.Is(o.err, workflow.ErrConflict) {
		t.Errorf("Run() = %v, want ErrConflict", o.err)
	}
	var out string
	if err := run.Get(t.Context(), &out); out != "done" || err != nil {
		t.Errorf("the run comes to %q, %v; want done", out, err)
	}
	checkEffects(t, dir, "17", 1)
}

// TestOperator tests what becomes of runs that an operator ends.
func TestOperator(t *testing.T) {
	s := newServer(t)
	c := s.dial(t)
	tests := []struct {
		id, errorType, want string
		end                 func() error
	}{
		{"1", "canceled", "ended on Temporal: canceled", func() error { return c.CancelWorkflow(t.Context(), "crash/1", "") }},
		{"2", "terminated", "ended on Temporal: terminated: enough", func() error { return c.TerminateWorkflow(t.Context(), "crash/2", "", "enough") }},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		hang(t, dir)
		ended := begin(t, c, crashConfig(time.Second), tt.id, dir)
		awaitEffects(t, dir, 2)
		if err := tt.end(); err != nil {
			t.Fatal(err)
		}
		first := <-ended
		again := <-begin(t, c, temporal.Config{StartOnly: true}, tt.id, dir)
		for _, err := range []error{first.err, again.err} {
			f, ok := errors.AsType[*workflow.Failure](err)
			if !ok || f.Class() != policy.Canceled || f.ErrorType() != tt.errorType || f.Error() != tt.want {
				t.Errorf("Run() = %v, want a failure of class canceled and type %s, %s", err, tt.errorType, tt.want)
			}
		}
	}
}

// TestChangedFlow tests that a run whose flow has changed stays unfinished, takes no other steps,
// and goes on with the code that it was begun with.
func TestChangedFlow(t *testing.T) {
	c := newServer(t).dial(t)
	// with goes on with a run by another version of the flow.
	with := func(t *testing.T, id, dir string, fn func(workflow.Run, string) (string, error)) (string, error) {
		engine := temporal.New(c, crashQueue, crashConfig(time.Minute))
		defer engine.Close()
		flow := workflow.NewFlow("crash", fn, crashFirst, crashSecond)
		if err := flow.On(engine); err != nil {
			t.Fatal(err)
		}
		return flow.Run(t.Context(), engine, id, dir)
	}
	tests := []struct {
		name string
		fn   func(workflow.Run, string) (string, error)
		want string
	}{
		{"another-step", crashSecond.Do, `step 1 is "first", the flow comes to something else`},
		{"a-nap", func(r workflow.Run, _ string) (string, error) { return "", r.Sleep(time.Minute) }, `step 1 is "first", the flow comes to something else`},
		{"nothing", func(workflow.Run, string) (string, error) { return "never", nil }, "there are more steps than 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, dir := tt.name, t.TempDir()
			unhang := hang(t, dir)
			closed := make(chan struct{})
			engine := temporal.New(c, crashQueue, crashConfig(time.Minute))
			if err := crashFlow.On(engine); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(closed)
				_, _ = crashFlow.Run(context.WithoutCancel(t.Context()), engine, id, dir)
			}()
			awaitEffects(t, dir, 2)
			unhang()
			if err := engine.Close(); err != nil {
				t.Fatal(err)
			}
			<-closed

			if _, err := with(t, id, dir, tt.fn); !errors.Is(err, workflow.ErrChanged) || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("Run() of a changed flow = %v, want ErrChanged, and %s", err, tt.want)
			}
			if out, err := with(t, id, dir, crash); out != "done" || err != nil {
				t.Errorf("Run() of the same flow = %q, %v; want done", out, err)
			}
			checkEffects(t, dir, id, 2)
		})
	}
}

// TestPutAside tests that a flow can defer steps, which are not carried out when its worker is closed.
func TestPutAside(t *testing.T) {
	c := newServer(t).dial(t)
	calls := 0
	step := workflow.NewStep("undo", nil, failing(&calls))
	asleep, ended := make(chan struct{}), make(chan error, 1)
	flow := workflow.NewFlow("nap", func(r workflow.Run, n int) (int, error) {
		defer func() {
			_, err := step.Do(r, n)
			ended <- err
		}()
		close(asleep)
		return n, r.Sleep(time.Hour)
	}, step)
	engine := temporal.New(c, "naps", temporal.Config{})
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = flow.Run(context.WithoutCancel(t.Context()), engine, "17", 1) }()
	<-asleep
	time.Sleep(time.Second) // until the worker has told the server
	if err := engine.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, workflow.ErrClosed) || calls != 0 {
			t.Errorf("deferred step: %v, %d calls; want ErrClosed and none", err, calls)
		}
	case <-time.After(time.Second):
		t.Error("not put aside")
	}
}
