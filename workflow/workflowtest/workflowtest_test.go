package workflowtest_test

import (
	"testing"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
	"github.com/evenkeel-go/evenkeel/workflow/workflowtest"
)

func ExampleRun() {
	// In a file whose name ends in _test.go:
	test := func(t *testing.T) {
		workflowtest.Run(t, func(t *testing.T) workflow.Engine {
			engine := memory.New(memory.Config{Retry: workflowtest.Retry()})
			t.Cleanup(func() { _ = engine.Close() })
			return engine
		})
	}
	_ = test
}
