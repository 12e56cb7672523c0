package pipeline

import (
	"context"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A layer is a policy in its place in a pipeline, or the pipeline itself. It
// is what the policy speaks to when nothing is traced.
type layer struct {
	pipeline *Pipeline
	policy   policy.Policy // nil for the pipeline itself
	kind     string        // names the policy's spans
	next     policy.Handler
}

// kindOf returns what kind of policy p is, for the names of its spans.
func kindOf(p policy.Policy) string {
	if typed, ok := p.(interface{ Type() string }); ok {
		return typed.Type()
	}
	return p.Name()
}

// do passes a call through the layer's policy.
func (l *layer) do(ctx context.Context, call policy.Call) error {
	if t, ok := call.Operation().(*traced); ok {
		return l.trace(ctx, call, t)
	}
	return l.policy.Do(ctx, l.speaks(call), l.next)
}

// speaks returns call as the layer's policy speaks through it.
func (l *layer) speaks(call policy.Call) policy.Call {
	if len(l.pipeline.observers) == 0 {
		return call // what it says, nobody would hear
	}
	return call.WithRecorder(l)
}

// Emit implements [policy.Recorder].
func (l *layer) Emit(ctx context.Context, event policy.Event) {
	event.Pipeline = l.pipeline.name
	if l.policy != nil {
		event.Policy = l.policy.Name()
	}
	for _, observe := range l.pipeline.observers {
		observe(ctx, event)
	}
}

// Step implements [policy.Recorder].
func (l *layer) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

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
