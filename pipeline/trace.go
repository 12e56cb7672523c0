package pipeline

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// trace is do with the pipeline's span around the call.
//
// Start gets no options: they cost, even if nobody records. Below a span that
// is not recorded, policies have none.
func (p *Pipeline) trace(ctx context.Context, call policy.Call, op policy.Operation) (err error) {
	name := cmp.Or(call.Name, p.name)
	_, inner := op.(*nested)
	if inner {
		name = p.name
	}
	spanCtx, span := p.tracer.Start(ctx, name)
	if !span.IsRecording() {
		defer span.End()
		return p.first(spanCtx, call.WithOperation(op).WithRecorder(nil))
	}
	span.SetAttributes(attribute.String("evenkeel.pipeline.name", p.name))
	s := &speaker{layer: p.root, span: span, root: !inner}
	t := &traced{Operation: op, root: s, aborted: new(atomic.Bool)}
	if inner {
		if outer, ok := op.(*nested).outer.(*traced); ok {
			t.aborted = outer.aborted
		}
	}
	returned := false
	defer func() { s.end(ctx, err, returned, t) }()
	err = p.first(spanCtx, call.WithOperation(t).WithRecorder(nil))
	returned = true
	return err
}

// traced is an operation whose policies are traced.
type traced struct {
	policy.Operation
	root    *speaker
	aborted *atomic.Bool // by a panic or Goexit, which a span shows already
}

func (t *traced) Do(ctx context.Context, call policy.Call) error {
	return t.Operation.Do(ctx, call.WithRecorder(t.root))
}

// trace is do with a span around the policy.
func (l *layer) trace(ctx context.Context, call policy.Call, t *traced) (err error) {
	spanCtx, span := l.pipeline.tracer.Start(ctx, l.kind)
	s := &speaker{layer: l, span: span}
	returned := false
	defer func() { s.end(ctx, err, returned, t) }()
	s.describe(call)
	err = l.policy.Do(spanCtx, call.WithRecorder(s), s.next)
	returned = true
	return err
}

// A speaker is what a policy speaks to when its call is traced: it turns what
// the policy says into the policy's span.
type speaker struct {
	layer *layer
	span  trace.Span
	root  bool // whether the span shows the outcome of the call

	mu    sync.Mutex
	said  string  // the outcome that the last event told of
	acted bool    // whether that event was more than an explanation
	inner []error // the failures that next has returned
}

func (s *speaker) describe(call policy.Call) {
	kind, name := s.layer.kind, s.layer.policy.Name()
	s.span.SetAttributes(attribute.String("evenkeel.policy.type", kind))
	if name != kind {
		s.span.SetAttributes(attribute.String("evenkeel.policy.name", name))
	}
	if call.Attempt > 0 {
		s.span.SetAttributes(attribute.Int("evenkeel.attempt", call.Attempt))
	}
}

// next calls on, and remembers the outcome.
func (s *speaker) next(ctx context.Context, call policy.Call) error {
	err := s.layer.next(ctx, call)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inner = append(s.inner, err)
	}
	return err
}

// Emit implements [policy.Recorder].
func (s *speaker) Emit(ctx context.Context, event policy.Event) {
	namespace, outcome := split(event.Name)
	attrs := attributes(namespace, event.Attrs)
	if at, ok := ctx.Value(stepKey{}).(step); ok && at.speaker == s {
		at.span.SetAttributes(attrs...)
	} else {
		s.span.SetAttributes(attrs...)
		s.mu.Lock()
		s.said, s.acted = outcome, !explains(event)
		s.mu.Unlock()
	}
	s.layer.Emit(ctx, event)
}

// A step is a part of a policy's work that has a span of its own. Contexts have
// theirs under stepKey.
type step struct {
	speaker *speaker
	span    trace.Span
}

type stepKey struct{}

// Step implements [policy.Recorder].
func (s *speaker) Step(ctx context.Context, call policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	stepCtx, span := s.layer.pipeline.tracer.Start(ctx, name)
	span.SetAttributes(attributes(s.layer.kind, attrs)...)
	return context.WithValue(stepCtx, stepKey{}, step{s, span}), func(err error) {
		if err != nil && !left(ctx, err) {
			fail(span, policy.ErrorType(err))
		}
		span.End()
	}
}

// end ends the span. Its status is that of an error only where the failure was
// made: at the policy that did, and at the outermost pipeline's span, which shows
// the outcome. Otherwise every ancestor of a failed request would be red.
//
// ctx is the one that the policy was given: where that has ended, the failure
// was made further out. A caller's cancellation is no failure at all.
func (s *speaker) end(ctx context.Context, err error, returned bool, t *traced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	isPolicy := s.layer.policy != nil
	if isPolicy && s.said != "" {
		s.span.SetName(s.layer.kind + ": " + s.said)
	}
	switch {
	case !returned:
		if first := t.aborted.CompareAndSwap(false, true); first || s.root {
			fail(s.span, "panic")
		}
	case err == nil, left(ctx, err):
	case s.root, isPolicy && ctx.Err() == nil && s.made(err):
		fail(s.span, policy.ErrorType(err))
	}
	s.span.End()
}

// made reports whether err is the policy's own, and not merely passed on from
// next, be it with a word of context.
func (s *speaker) made(err error) bool {
	isSame := func(inner error) bool { return same(err, inner) }
	isWrapped := func(inner error) bool { return wraps(err, inner) }
	return !slices.ContainsFunc(s.inner, isSame) && (s.acted || !slices.ContainsFunc(s.inner, isWrapped))
}

// left reports whether a call failed because its caller left.
func left(ctx context.Context, err error) bool {
	return errors.Is(ctx.Err(), context.Canceled) || policy.ClassOf(err) == policy.Canceled
}

func fail(span trace.Span, errorType string) {
	span.SetAttributes(attribute.String("error.type", errorType))
	span.SetStatus(codes.Error, "")
}

// same is err == target for errors whose types may not be comparable.
func same(err, target error) (ok bool) {
	defer func() { _ = recover() }()
	return err == target //nolint:errorlint // Identity is what is asked for.
}

// wraps is errors.Is(err, target) for errors whose types may not be comparable.
func wraps(err, target error) (ok bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}
