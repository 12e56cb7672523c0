package memory_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
	"github.com/evenkeel-go/evenkeel/workflow/workflowtest"
)

func newEngine(t testing.TB, config memory.Config) *memory.Engine {
	t.Helper()
	engine := memory.New(config)
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

func TestConformance(t *testing.T) {
	workflowtest.Run(t, func(t *testing.T) workflow.Engine {
		return newEngine(t, memory.Config{Retry: workflowtest.Retry()})
	})
}

// quadruple is a flow of two steps, which it counts.
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

func TestResultsAreKeptForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps atomic.Int32
		engine, flow := newEngine(t, memory.Config{KeepFinished: time.Minute}), quadruple(&steps)
		if err := flow.On(engine); err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			after time.Duration
			want  int32
		}{{0, 2}, {time.Minute, 2}, {time.Second, 4}} {
			time.Sleep(tt.after)
			got, err := flow.Run(t.Context(), engine, "1", 10)
			if got != 40 || err != nil || steps.Load() != tt.want {
				t.Errorf("Run() = %d, %v after %d steps, want 40 after %d", got, err, steps.Load(), tt.want)
			}
		}
	})
}

func TestValidate(t *testing.T) {
	flow := workflow.NewFlow("flow", func(_ workflow.Run, n int) (int, error) { return n, nil })
	for _, tt := range []struct {
		config memory.Config
		want   string
	}{
		{memory.Config{}, ""},
		{memory.Config{KeepFinished: -1}, "memory: invalid KeepFinished -1ns: want more than 0"},
		{memory.Config{Retry: workflow.Retry{MaxInterval: -1}}, "memory: retry: invalid MaxInterval -1ns: want at least InitialInterval, 1m0s"},
	} {
		engine := newEngine(t, tt.config)
		for _, err := range []error{engine.Validate(), flow.On(engine)} {
			if (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("Validate() or On() = %v, want %q", err, tt.want)
			}
		}
	}
}

func BenchmarkRun(b *testing.B) {
	var steps atomic.Int32
	engine, flow := newEngine(b, memory.Config{}), quadruple(&steps)
	if err := flow.On(engine); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if got, err := flow.Run(b.Context(), engine, strconv.Itoa(n), n); got != 4*n || err != nil {
			b.Fatal(got, err)
		}
	}
}
