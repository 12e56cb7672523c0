package workflow_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

func TestTypesAtTheEdge(t *testing.T) {
	var key string
	step := workflow.NewStep("print", nil, func(ctx context.Context, n int) (string, error) {
		key = workflow.Key(ctx)
		return strings.Repeat("x", n), nil
	})
	twice := workflow.NewStep("double", nil, double)
	flow := workflow.NewFlow("measure", func(r workflow.Run, n int) (string, error) {
		n, err := twice.Do(r, n)
		if err != nil {
			return "", err
		}
		return step.Do(r, n)
	}, twice, step)
	engine := new(fake)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	got, err := flow.Run(t.Context(), engine, "a/b ü", 2)
	if got != "xxxx" || err != nil {
		t.Errorf("Run() = %q, %v, want xxxx", got, err)
	}
	if want := "measure/a%2Fb%20%C3%BC/2"; key != want {
		t.Errorf("Key() = %q, want %q", key, want)
	}
	if got := workflow.Key(t.Context()); got != "" {
		t.Errorf("Key() outside of a step = %q, want none", got)
	}
}

func TestFailuresNameStepAndRun(t *testing.T) {
	refused := policy.WithClass(errors.New("no such card"), policy.Permanent)
	charge := workflow.NewStep("charge", nil, func(context.Context, int) (int, error) { return 0, refused })
	undone := false
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) {
		n, err := charge.Do(r, n)
		undone = workflow.IsPermanent(err)
		return n, err
	}, charge)
	engine := new(fake)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	_, err := flow.Run(t.Context(), engine, "17", 1)
	if want := `workflow: run "17" of "place-order": step "charge": no such card`; err == nil || err.Error() != want {
		t.Errorf("Run() = %v, want %s", err, want)
	}
	failure, ok := errors.AsType[*workflow.Failure](err)
	if !ok || failure.Step() != "charge" || failure.Class() != policy.Permanent || !undone {
		t.Errorf("Run() = %v of step %v, want a permanent failure of charge that the flow saw too", err, failure)
	}
}

func TestToRunAFailedFlowAgainIsNoUse(t *testing.T) {
	flow := workflow.NewFlow("reserve", func(workflow.Run, int) (int, error) { return 0, errors.New("no stock") })
	engine := new(fake)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	_, err := flow.Run(t.Context(), engine, "17", 1)
	if want := `workflow: run "17" of "reserve": no stock`; err == nil || err.Error() != want || !workflow.IsPermanent(err) {
		t.Errorf("Run() = %v, want %s, permanent", err, want)
	}
}

func TestOnReportsAllThatIsWrong(t *testing.T) {
	good := workflow.NewStep("good", nil, double)
	nothing := func(workflow.Run, int) (int, error) { return 0, nil }
	tests := []struct {
		flow workflow.Flow[int, int]
		want []string
	}{
		{workflow.NewFlow("fine", nothing, good), nil},
		{workflow.NewFlow("", nothing, good), []string{`flow "": invalid name "": want 1 to 64 bytes`}},
		{workflow.NewFlow[int, int]("f", nil), []string{`flow "f": invalid function nil`}},
		{workflow.NewFlow("f", nothing, good, nil), []string{"invalid step 2 nil"}},
		{workflow.NewFlow("f", nothing, good, good), []string{`step "good": invalid name: another step has it`}},
		{workflow.NewFlow("f", nothing, workflow.NewStep[int, int]("a\n", nil, nil), workflow.NewStep("b", new(pipeline.Pipeline), double)), []string{
			`step "a\n": invalid function nil`, `step "b": pipeline: not usable`,
		}},
	}
	for _, tt := range tests {
		err := tt.flow.On(new(fake))
		if (err == nil) != (tt.want == nil) {
			t.Errorf("On() = %v, want %q", err, tt.want)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("On() = %v, want %s", err, want)
			}
		}
	}
	if err := workflow.NewFlow("f", nothing).On(nil); err == nil {
		t.Error("On(nil) = nil, want an error")
	}
}

func TestRunReportsBadInput(t *testing.T) {
	flow := workflow.NewFlow("f", func(workflow.Run, any) (any, error) { return make(chan int), nil })
	engine := new(fake)
	_, err := flow.Run(t.Context(), engine, "1", nil)
	if !errors.Is(err, workflow.ErrUnknown) {
		t.Errorf("Run() of an unknown flow = %v, want ErrUnknown", err)
	}
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		engine workflow.Engine
		id     string
		in     any
		want   string
	}{
		{nil, "1", 1, `run "1" of "f": invalid engine nil`},
		{engine, "", 1, `run "" of "f": invalid id "": want 1 to 200 bytes`},
		{engine, strings.Repeat("x", 201), 1, "want 1 to 200 bytes"},
		{engine, "\xff", 1, "want 1 to 200 bytes of UTF-8"},
		{engine, "1", make(chan int), `run "1" of "f": input: json: unsupported type: chan int`},
		{engine, "1", 1, `run "1" of "f": result: json: unsupported type: chan int`},
	}
	for _, tt := range tests {
		if _, err := flow.Run(t.Context(), tt.engine, tt.id, tt.in); err == nil || !strings.Contains(err.Error(), tt.want) || !workflow.IsPermanent(err) {
			t.Errorf("Run() = %v, want %s, permanent", err, tt.want)
		}
	}
}
