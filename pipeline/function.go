package pipeline

import (
	"context"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A function is an operation without a result.
type function policy.Handler

func (f function) Do(ctx context.Context, call policy.Call) error { return f(ctx, call) }
func (f function) Resolve(any) error                              { return errNoResult }
func (f function) Accepts(string) bool                            { return true }

// A nested operation is what an inner pipeline leads to: the outer pipeline's
// next policy, with the call as the outer pipeline knows it.
type nested struct {
	next  policy.Handler
	outer policy.Operation
	heard policy.Recorder
}

func (n *nested) Do(ctx context.Context, call policy.Call) error {
	return n.next(ctx, call.WithOperation(n.outer).WithRecorder(n.heard))
}

func (n *nested) Resolve(value any) error    { return n.outer.Resolve(value) }
func (n *nested) Accepts(header string) bool { return n.outer.Accepts(header) }

// Answer is behind [policy.Call.Answer].
func (n *nested) Answer(value any) error {
	return policy.Call{}.WithOperation(n.outer).Answer(value)
}
