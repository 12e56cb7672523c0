package workflowtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A sum is what the runs of arithmetic come to.
type sum struct {
	ID    string
	Value int
}

// arithmetic returns a flow of two steps that comes to 2n+1, and counts its steps.
func arithmetic(steps *atomic.Int32) workflow.Flow[int, sum] {
	double := workflow.NewStep("double", nil, func(_ context.Context, n int) (int, error) {
		steps.Add(1)
		return 2 * n, nil
	})
	increment := workflow.NewStep("increment", nil, func(_ context.Context, n int) (sum, error) {
		steps.Add(1)
		return sum{Value: n + 1}, nil
	})
	return workflow.NewFlow("arithmetic", func(r workflow.Run, n int) (sum, error) {
		n, err := double.Do(r, n)
		if err != nil {
			return sum{}, err
		}
		s, err := increment.Do(r, n)
		s.ID = r.ID()
		return s, err
	}, double, increment)
}

func returnsResult(t *testing.T, e workflow.Engine) {
	var steps atomic.Int32
	flow := arithmetic(&steps)
	on(t, e, flow)
	id := newID()
	wants(t, e, flow, id, 20, sum{id, 41})
	if got := steps.Load(); got != 2 {
		t.Errorf("the run has carried out %d steps, want 2", got)
	}
}

func keepsResult(t *testing.T, e workflow.Engine) {
	var steps atomic.Int32
	flow := arithmetic(&steps)
	on(t, e, flow)
	id := newID()
	for range 3 {
		wants(t, e, flow, id, 20, sum{id, 41})
	}
	if got := steps.Load(); got != 2 {
		t.Errorf("three calls with the same id have carried out %d steps, want 2", got)
	}
}

func passesMuch(t *testing.T, e workflow.Engine) {
	flow := single("much", workflow.NewStep("much", nil, func(_ context.Context, text string) (string, error) { return text + "!", nil }))
	on(t, e, flow)
	text := strings.Repeat("0123456789abcdef", 1<<16)
	got, err := run(t, e, flow, newID(), text)
	if got != text+"!" || err != nil {
		t.Errorf("Run() = %d bytes, %v, want %d", len(got), err, len(text)+1)
	}
}

// A gate is a step that tells when it is carried out, and waits until it is opened.
type gate struct {
	entered, open chan struct{}
	calls         atomic.Int32
	enter         sync.Once
}

func newGate() *gate { return &gate{entered: make(chan struct{}), open: make(chan struct{})} }

// flow returns a flow of the gate that comes to twice its input.
func (g *gate) flow() workflow.Flow[int, int] {
	return single("gated", workflow.NewStep("gate", nil, func(ctx context.Context, n int) (int, error) {
		g.calls.Add(1)
		g.enter.Do(func() { close(g.entered) })
		select {
		case <-g.open:
			return 2 * n, nil
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}))
}

// await waits until the gate's step is carried out.
func (g *gate) await(t *testing.T) {
	t.Helper()
	select {
	case <-g.entered:
	case <-time.After(patience):
		t.Fatal("the step is not carried out")
	}
}

func joins(t *testing.T, e workflow.Engine) {
	g, id := newGate(), newID()
	flow := g.flow()
	on(t, e, flow)
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() { wants(t, e, flow, id, 21, 42) })
	}
	g.await(t)
	callers.Go(func() { wants(t, e, flow, id, 21, 42) })
	time.Sleep(20 * time.Millisecond) // they are likely to wait by now
	close(g.open)
	callers.Wait()
	if got := g.calls.Load(); got != 1 {
		t.Errorf("six callers of a run have had its step carried out %d times, want once", got)
	}
}

func refusesOtherInput(t *testing.T, e workflow.Engine) {
	g, id := newGate(), newID()
	flow := g.flow()
	on(t, e, flow)
	var first sync.WaitGroup
	first.Go(func() { wants(t, e, flow, id, 21, 42) })
	g.await(t)
	refused := func(when string) {
		t.Helper()
		_, err := run(t, e, flow, id, 22)
		if _, failed := errors.AsType[*workflow.Failure](err); !errors.Is(err, workflow.ErrConflict) || failed {
			t.Errorf("Run() with another input %s = %v, want %v", when, err, workflow.ErrConflict)
		}
	}
	refused("while the run is under way")
	close(g.open)
	first.Wait()
	refused("after its end")
	wants(t, e, flow, id, 21, 42)
}

func keepsFlowsApart(t *testing.T, e workflow.Engine) {
	named := func(name string) workflow.Flow[int, string] {
		return single(name, workflow.NewStep("step", nil, func(context.Context, int) (string, error) { return name, nil }))
	}
	one, other, id := named("one"), named("other"), newID()
	on(t, e, one)
	on(t, e, other)
	wants(t, e, one, id, 1, "one")
	wants(t, e, other, id, 2, "other")
	wants(t, e, one, id, 1, "one")
}

func outlivesCaller(t *testing.T, e workflow.Engine) {
	g, id, left := newGate(), newID(), errors.New("workflowtest: the caller leaves")
	flow := g.flow()
	on(t, e, flow)
	ctx, leave := context.WithCancelCause(t.Context())
	defer leave(nil)
	returned := make(chan error, 1)
	go func() {
		_, err := flow.Run(ctx, e, id, 21)
		returned <- err
	}()
	g.await(t)
	leave(left)
	select {
	case err := <-returned:
		if !errors.Is(err, left) {
			t.Errorf("Run() = %v when the caller leaves, want %v", err, left)
		}
	case <-time.After(patience / 12):
		t.Error("Run() does not return when the caller leaves")
	}
	close(g.open)
	wants(t, e, flow, id, 21, 42)
	if got := g.calls.Load(); got != 1 {
		t.Errorf("the step was carried out %d times, want once, as the run goes on without the caller", got)
	}
}

func sleeps(t *testing.T, e workflow.Engine) {
	const pause = 50 * time.Millisecond
	var before, after atomic.Int64
	clock := func(name string, at *atomic.Int64) workflow.Step[int, int] {
		return workflow.NewStep(name, nil, func(_ context.Context, n int) (int, error) {
			at.Store(time.Now().UnixNano())
			return n, nil
		})
	}
	first, last := clock("first", &before), clock("last", &after)
	flow := workflow.NewFlow("sleeper", func(r workflow.Run, n int) (int, error) {
		n, err := first.Do(r, n)
		if err != nil {
			return 0, err
		}
		if err := r.Sleep(pause); err != nil {
			return 0, err
		}
		return last.Do(r, n)
	}, first, last)
	on(t, e, flow)
	wants(t, e, flow, newID(), 7, 7)
	if slept := time.Duration(after.Load() - before.Load()); slept < pause-time.Millisecond {
		t.Errorf("the run went on after %v, want at least %v", slept, pause)
	}
}

func runsMany(t *testing.T, e workflow.Engine) {
	var steps atomic.Int32
	flow := arithmetic(&steps)
	on(t, e, flow)
	var callers sync.WaitGroup
	for n := range 20 {
		callers.Go(func() {
			id := fmt.Sprintf("%s-%d", newID(), n)
			wants(t, e, flow, id, n, sum{id, 2*n + 1})
		})
	}
	callers.Wait()
	if got := steps.Load(); got != 40 {
		t.Errorf("20 runs have carried out %d steps, want 40", got)
	}
}
