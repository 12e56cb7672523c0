package temporal_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

func TestOnReportsAllThatIsWrong(t *testing.T) {
	c := offline(t)
	bad := temporal.Config{HeartbeatTimeout: 1, Retry: workflow.Retry{InitialInterval: -1}}
	tests := []struct {
		engine *temporal.Engine
		flow   string
		want   []string
	}{
		{temporal.New(c, "orders", temporal.Config{}), "place-order", nil},
		{temporal.New(nil, "", temporal.Config{}), "place-order", []string{"invalid client nil", `invalid queue ""`}},
		{temporal.New(c, "orders", bad), "place-order", []string{
			"invalid HeartbeatTimeout 1ns: want at least 3ms", "invalid InitialInterval -1ns",
		}},
		{temporal.New(c, "orders", temporal.Config{}), "__temporal_x", []string{`invalid flow "__temporal_x"`}},
	}
	for _, tt := range tests {
		flow := workflow.NewFlow(tt.flow, func(workflow.Run, int) (int, error) { return 0, nil })
		err := flow.On(tt.engine)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("On() = %v, want %q", err, tt.want)
		}
		for _, want := range tt.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("On() = %v, want %s", err, want)
			}
		}
		if tt.want == nil {
			if err := flow.On(tt.engine); err == nil || !strings.Contains(err.Error(), "want each once") {
				t.Errorf("On() for the second time = %v, want an error", err)
			}
		}
	}
}

func TestRunWithoutAServer(t *testing.T) {
	engine := temporal.New(offline(t), "orders", temporal.Config{StartOnly: true})
	if _, err := engine.Run(t.Context(), "place-order", "17", json.RawMessage("1")); !errors.Is(err, workflow.ErrUnknown) {
		t.Errorf("Run() of an unknown flow = %v, want ErrUnknown", err)
	}
	if err := engine.Register("place-order", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Run(t.Context(), "place-order", "17", json.RawMessage("{")); err == nil || !strings.Contains(err.Error(), "temporal: input: ") {
		t.Errorf("Run() of an input that is no JSON = %v, want an error", err)
	}
	if err := engine.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if err := engine.Resume(t.Context()); !errors.Is(err, workflow.ErrClosed) {
		t.Errorf("Resume() of a closed engine = %v, want ErrClosed", err)
	}
	if _, err := engine.Run(t.Context(), "place-order", "17", json.RawMessage("1")); !errors.Is(err, workflow.ErrClosed) {
		t.Errorf("Run() of a closed engine = %v, want ErrClosed", err)
	}
	if err := engine.Register("late", nil, nil); !errors.Is(err, workflow.ErrClosed) {
		t.Errorf("Register() of a closed engine = %v, want ErrClosed", err)
	}
}
