package local_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// open returns an engine on a store that may have runs of engines that were closed.
func open(t *testing.T, store local.Store, config local.Config, flows ...flow) *local.Engine {
	t.Helper()
	e := local.New(store, config)
	t.Cleanup(e.Close)
	for _, f := range flows {
		if err := f.On(e); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

type flow = workflow.Flow[int, int]

type step = workflow.Step[int, int]

// A journal takes down which steps were carried out.
type journal struct {
	mu    sync.Mutex
	steps []string
}

func (j *journal) add(step string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = append(j.steps, step)
}

// want checks which steps were carried out since the last time.
func (j *journal) want(t *testing.T, steps ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.steps, steps) {
		t.Errorf("steps %q were carried out, want %q", j.steps, steps)
	}
	j.steps = nil
}

// step returns a step that does nothing but to be taken down.
func (j *journal) step(name string) step {
	return j.does(name, func(context.Context) error { return nil })
}

// does returns a step that does something.
func (j *journal) does(name string, do func(ctx context.Context) error) step {
	return workflow.NewStep(name, nil, func(ctx context.Context, n int) (int, error) {
		j.add(name)
		return n + 1, do(ctx)
	})
}

// blocks lasts until the engine is closed.
func blocks(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// sequence returns a flow that takes the given steps, one after the other. A nil is an
// hour's sleep.
func sequence(name string, steps ...*step) flow {
	var all []workflow.AnyStep
	for _, s := range steps {
		if s != nil {
			all = append(all, *s)
		}
	}
	return workflow.NewFlow(name, func(r workflow.Run, n int) (_ int, err error) {
		for _, s := range steps {
			if s == nil {
				err = r.Sleep(time.Hour)
			} else {
				n, err = s.Do(r, n)
			}
			if err != nil {
				return 0, err
			}
		}
		return n, nil
	}, all...)
}

// wants runs a flow whose result is known.
func wants(t *testing.T, e workflow.Engine, f flow, want int) {
	t.Helper()
	if got, err := f.Run(t.Context(), e, "1", 0); got != want || err != nil {
		t.Errorf("Run() = %d, %v, want %d", got, err, want)
	}
}

// unfinished runs a flow that does not end, for the reason that is target, and returns what
// is told of that.
func unfinished(t *testing.T, e workflow.Engine, f flow, target error) string {
	t.Helper()
	_, err := f.Run(t.Context(), e, "1", 0)
	if _, failed := errors.AsType[*workflow.Failure](err); !errors.Is(err, target) || failed {
		t.Errorf("Run() = %v, want %v", err, target)
	}
	return fmt.Sprint(err)
}

// status returns the only run that there is.
func status(t *testing.T, e *local.Engine) workflow.Status {
	t.Helper()
	var all []workflow.Status
	for s, err := range e.Runs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) != 1 {
		t.Fatalf("there are %d runs, want 1: %v", len(all), all)
	}
	return all[0]
}
