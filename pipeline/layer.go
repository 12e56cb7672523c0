package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/attribute"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A layer is a policy in its place in a pipeline, or the pipeline itself. It
// is what the policy speaks to when nothing is traced.
type layer struct {
	pipeline *Pipeline
	policy   policy.Policy // nil for the pipeline itself
	kind     string        // names the policy's spans
	next     policy.Handler
	attrs    []attribute.KeyValue // of all its spans
	meter    *meter               // nil for the pipeline itself
}

func newLayer(pipeline *Pipeline, p policy.Policy, next policy.Handler) *layer {
	kind, name := kindOf(p), p.Name()
	l := &layer{pipeline: pipeline, policy: p, kind: kind, next: next, meter: newMeter(pipeline.meters, kind, name)}
	l.attrs = []attribute.KeyValue{attribute.String("evenkeel.policy.type", kind)}
	if name != kind {
		l.attrs = append(l.attrs, attribute.String("evenkeel.policy.name", name))
	}
	return l
}

// kindOf returns what kind of policy p is, for the names of its spans.
func kindOf(p policy.Policy) string {
	if typed, ok := p.(interface{ Type() string }); ok {
		return typed.Type()
	}
	return p.Name()
}

// handler returns what passes calls through the layer's policy. It is a function of
// its own, and no method, which would take one more call for each layer. What
// policies say of most calls, nobody would hear.
func (l *layer) handler() policy.Handler {
	return func(ctx context.Context, call policy.Call) error {
		if call.Recorder() == nil {
			return l.policy.Do(ctx, call, l.next)
		}
		return l.heard(ctx, call)
	}
}

// heard passes a call through the layer's policy that somebody listens to.
func (l *layer) heard(ctx context.Context, call policy.Call) error {
	if t, ok := call.Operation().(*traced); ok {
		return l.trace(ctx, call, t)
	}
	return l.policy.Do(ctx, call.WithRecorder(l), l.next)
}

// Emit implements [policy.Recorder].
func (l *layer) Emit(ctx context.Context, event policy.Event) {
	event.Pipeline = l.pipeline.name
	if l.policy != nil {
		event.Policy = l.policy.Name()
		l.meter.decided(ctx, event)
	}
	if s := l.stepOf(ctx); s != nil {
		s.add(event.Attrs)
	}
	l.record(ctx, event)
	for _, observe := range l.pipeline.observers {
		observe(ctx, event)
	}
}

// Outcome is behind [policy.Call.Outcome].
func (l *layer) Outcome(ctx context.Context, outcome string) {
	if l.policy != nil {
		l.meter.called(ctx, outcome)
	}
}
