package workflow_test

import (
	"testing"

	"github.com/evenkeel-go/evenkeel/workflow"
)

func TestStateNames(t *testing.T) {
	for state, want := range map[workflow.State]string{
		workflow.Running: "running", workflow.Waiting: "waiting", workflow.Stuck: "stuck",
		workflow.Succeeded: "succeeded", workflow.Failed: "failed", 9: "invalid",
	} {
		if got := state.String(); got != want {
			t.Errorf("State(%d) = %q, want %q", state, got, want)
		}
	}
}
