package journal_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

// interrupted runs a flow until it waits for something, and closes the engine.
func interrupted(t *testing.T, path string, config journal.Config, f workflow.Flow[int, int]) {
	t.Helper()
	e := open(t, path, config, f)
	var caller sync.WaitGroup
	caller.Go(func() {
		if _, err := f.Run(t.Context(), e, "17", 1); !errors.Is(err, workflow.ErrClosed) {
			t.Errorf("Run() = %v, want ErrClosed", err)
		}
	})
	synctest.Wait()
	e.Close()
	caller.Wait()
}

// hangs is a step that lasts until the engine is closed, once.
func hangs(name string) workflow.Step[int, int] {
	var before atomic.Bool
	return workflow.NewStep(name, nil, func(ctx context.Context, n int) (int, error) {
		if before.Swap(true) {
			return n, nil
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
}

type refusal struct{}

func (refusal) Error() string       { return "402 Payment Required" }
func (refusal) Class() policy.Class { return policy.Permanent }
func (refusal) ErrorType() string   { return "402" }

func TestReplaySeesTheSameFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		charge := workflow.NewStep("charge", nil, func(context.Context, int) (int, error) { return 0, refusal{} })
		release := hangs("release")
		var seen []*workflow.Failure
		flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
			_, err := charge.Do(r, n)
			failure, _ := errors.AsType[*workflow.Failure](err)
			seen = append(seen, failure)
			_, undo := release.Do(r, n)
			return 0, errors.Join(err, undo)
		}, charge, release)
		path := newPath(t)
		interrupted(t, path, journal.Config{}, flow)

		e := open(t, path, journal.Config{}, flow)
		_, err := flow.Run(t.Context(), e, "17", 1)
		if len(seen) != 2 || *seen[0] != *seen[1] || seen[0].Error() != `step "charge": 402 Payment Required` || seen[0].ErrorType() != "402" {
			t.Errorf("the flow has seen %+v, want the same failure twice", seen)
		}
		if err == nil || err.Error() != `workflow: run "17" of "place-order": step "charge": 402 Payment Required` {
			t.Errorf("Run() = %v, want the failure", err)
		}
	})
}

func TestChangedCodeStopsBeforeAnyStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var carried atomic.Int32
		quick := func(name string) workflow.Step[int, int] {
			return workflow.NewStep(name, nil, func(_ context.Context, n int) (int, error) {
				carried.Add(1)
				return n, nil
			})
		}
		named := func(first, second workflow.Step[int, int]) workflow.Flow[int, int] {
			return workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
				n, err := first.Do(r, n)
				if err != nil {
					return 0, err
				}
				return second.Do(r, n)
			}, first, second)
		}
		path, ship := newPath(t), hangs("ship")
		before := named(quick("reserve"), ship)
		interrupted(t, path, journal.Config{}, before)
		carried.Store(0)

		e := open(t, path, journal.Config{}, named(quick("charge"), quick("ship")))
		if err := e.Resume(t.Context()); err != nil {
			t.Errorf("Resume() = %v, want nil", err)
		}
		synctest.Wait()
		const want = `number 1 is recorded as step "reserve", and the code comes to step "charge"`
		for s, err := range e.Runs(t.Context()) {
			if err != nil || s.State != workflow.Stuck || !errors.Is(s.Err, workflow.ErrChanged) || !strings.Contains(s.Err.Error(), want) {
				t.Errorf("Runs() = %+v, %v, want one that is stuck: %s", s, err, want)
			}
		}
		e.Close()
		if n := carried.Load(); n != 0 {
			t.Errorf("%d steps were carried out, want none", n)
		}

		e = open(t, path, journal.Config{}, before) // the code that it was begun with
		wants(t, e, before, "17", 1, 1)
	})
}

func TestResumedRunLinksToItsFirstPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		config := journal.Config{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))}
		ship := hangs("ship")
		flow, path := workflow.NewFlow("ship", ship.Do, ship), newPath(t)
		interrupted(t, path, config, flow)
		e := open(t, path, config, flow)
		if err := e.Resume(t.Context()); err != nil {
			t.Error(err)
		}
		wants(t, e, flow, "17", 1, 1)
		e.Close()
		time.Sleep(time.Second)

		var flows []sdktrace.ReadOnlySpan
		for _, span := range spans.Ended() {
			if span.Name() == "flow ship" {
				flows = append(flows, span)
			}
		}
		if len(flows) != 2 {
			t.Fatalf("there are %d spans of the flow, want 2", len(flows))
		}
		first, second := flows[0].SpanContext(), flows[1].SpanContext()
		links := flows[1].Links()
		if first.TraceID() == second.TraceID() || len(links) != 1 || links[0].SpanContext.TraceID() != first.TraceID() || links[0].SpanContext.SpanID() != first.SpanID() {
			t.Errorf("the second part %v links to %+v, want to be another trace that links to %v", second, links, first)
		}
	})
}

// Whatever is wrong with a run, the error says of which, and in which file.
func TestErrorsNameRunAndFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, ship := newPath(t), hangs("ship")
		flow := workflow.NewFlow("ship", ship.Do, ship)
		interrupted(t, path, journal.Config{}, flow)
		changed := workflow.NewFlow("ship", func(workflow.Run, string) (int, error) { return 0, nil })

		e := open(t, path, journal.Config{})
		_, unknown := flow.Run(t.Context(), e, "17", 1)
		resumed := e.Resume(t.Context())
		if err := changed.On(e); err != nil {
			t.Fatal(err)
		}
		_, conflict := flow.Run(t.Context(), e, "17", 2)
		_, unreadable := flow.Run(t.Context(), e, "17", 1)
		tests := []struct {
			err, target error
		}{
			{unknown, workflow.ErrUnknown},
			{resumed, workflow.ErrUnknown},
			{conflict, workflow.ErrConflict},
			{unreadable, workflow.ErrChanged},
		}
		for _, tt := range tests {
			if !errors.Is(tt.err, tt.target) || !strings.Contains(tt.err.Error(), `run "17" of "ship"`) || strings.Count(tt.err.Error(), "journal: "+path+": ") != 1 {
				t.Errorf("error %v, want %v that names the run, and %s once", tt.err, tt.target, path)
			}
		}
	})
}
