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
		call = call.WithOperation(op).WithRecorder(nil)
		if p.heard(ctx) {
			call = call.WithRecorder(p.root)
		}
		return p.measure(spanCtx, call)
	}
	t := &traced{Operation: op, flat: p.detail == PipelineSpans}
	if !t.flat {
		t.speakers = make([]speaker, len(p.policies))
	}
	if inner {
		t.outer, _ = op.(*nested).outer.(*traced)
	}
	s := &t.own
	s.layer, s.span, s.root = p.root, span, !inner
	t.root = s
	returned := false
	defer func() {
		s.end(ctx, err, returned, t)
		remember(call, err)
	}()
	s.add(attribute.String("evenkeel.pipeline.name", p.name))
	err = p.measure(spanCtx, call.WithOperation(t).WithRecorder(s))
	returned = true
	return err
}

// traced is an operation whose policies are traced.
type traced struct {
	policy.Operation
	outer    *traced // of the pipeline around this one, if that is traced, or of the call that shares
	root     *speaker
	own      speaker     // the root, unless the operation is shared
	flat     bool        // whether policies have no spans of their own
	aborted  atomic.Bool // by a panic or Goexit, which a span shows already
	speakers []speaker   // to be taken, as it costs less to make them all at once
	taken    atomic.Int32
}

func (t *traced) Do(ctx context.Context, call policy.Call) error {
	err := t.Operation.Do(ctx, call.WithRecorder(t.root))
	remember(call, err)
	return err
}

// Answer is behind [policy.Call.Answer].
func (t *traced) Answer(value any) error {
	return policy.Call{}.WithOperation(t.Operation).Answer(value)
}

// speaker returns one that nobody speaks to yet.
func (t *traced) speaker() *speaker {
	if i := int(t.taken.Add(1)) - 1; i < len(t.speakers) {
		return &t.speakers[i]
	}
	return new(speaker)
}

// abort takes down that the call was aborted, and reports whether that is news.
func (t *traced) abort() bool {
	for t.outer != nil {
		t = t.outer
	}
	return t.aborted.CompareAndSwap(false, true)
}

// trace is do with a span around the policy.
func (l *layer) trace(ctx context.Context, call policy.Call, t *traced) (err error) {
	s := t.speaker()
	s.layer = l
	if t.flat {
		s.span, s.flat = t.root.span, true
		return l.policy.Do(ctx, call.WithRecorder(s), l.next)
	}
	ctx, s.span = l.pipeline.tracer.Start(ctx, l.kind)
	returned := false
	defer func() {
		s.end(ctx, err, returned, t)
		remember(call, err)
	}()
	s.add(l.attrs...)
	var place [2]attribute.KeyValue
	s.add(appendPlace(place[:0], call)...)
	err = l.policy.Do(ctx, call.WithRecorder(s), l.next)
	returned = true
	return err
}

// remember has the policy that passed call on remember how that ended.
func remember(call policy.Call, err error) {
	if s, ok := call.Recorder().(*speaker); ok && err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inner = append(s.inner, err)
	}
}

// A speaker is what a policy speaks to when its call is traced: it turns what
// the policy says into the policy's span.
type speaker struct {
	layer *layer
	span  trace.Span
	root  bool // whether the span shows the outcome of the call
	flat  bool // whether the span is the pipeline's

	mu    sync.Mutex
	attrs []attribute.KeyValue // for the span, which gets them all at once
	few   [6]attribute.KeyValue
	said  string  // the outcome that the last event told of
	acted bool    // whether that event was more than an explanation
	inner []error // the failures of the calls that the policy passed on
	sends int     // how many requests the call has sent
}

// add adds attributes to the span.
func (s *speaker) add(attrs ...attribute.KeyValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attrs == nil {
		s.attrs = s.few[:0]
	}
	s.attrs = append(s.attrs, attrs...)
}

// Emit implements [policy.Recorder].
func (s *speaker) Emit(ctx context.Context, event policy.Event) {
	if s.layer.stepOf(ctx) == nil {
		namespace, outcome := split(event.Name)
		s.say(namespace, event.Attrs)
		s.mu.Lock()
		s.said, s.acted = outcome, !explains(event)
		s.mu.Unlock()
	}
	s.layer.Emit(ctx, event)
}

// Outcome is behind [policy.Call.Outcome].
func (s *speaker) Outcome(ctx context.Context, outcome string) {
	if s.flat {
		s.span.SetAttributes(keyOf(s.layer.kind, "outcome").String(outcome))
	} else {
		s.add(keyOf(s.layer.kind, "outcome").String(outcome))
	}
	s.layer.Outcome(ctx, outcome)
}

// Note is behind [policy.Call.Note].
func (s *speaker) Note(ctx context.Context, attr slog.Attr) {
	attrs := [...]slog.Attr{attr}
	if at := s.layer.stepOf(ctx); at != nil {
		at.add(attrs[:])
		return
	}
	s.say(s.layer.kind, attrs[:])
}

// say adds what a policy says to the span.
func (s *speaker) say(kind string, attrs []slog.Attr) {
	addLinks(s.span, attrs)
	if s.flat {
		s.span.SetAttributes(attributes(kind, attrs)...)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attrs == nil {
		s.attrs = s.few[:0]
	}
	s.attrs = appendAttributes(s.attrs, kind, attrs)
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
	if isPolicy && s.said != "" && !s.layer.pipeline.plainNames {
		s.span.SetName(s.layer.kind + ": " + s.said)
	}
	switch {
	case !returned:
		if first := t.abort(); first || s.root {
			s.fail("panic")
		}
	case err == nil, left(ctx, err):
	case s.root, isPolicy && ctx.Err() == nil && s.made(err):
		s.fail(policy.ErrorType(err))
	}
	if s.sends > 0 {
		s.attrs = append(s.attrs, attribute.Int("evenkeel.pipeline.sends", s.sends))
	}
	s.span.SetAttributes(s.attrs...)
	s.span.End()
}

// fail has the span end as that of a failure.
func (s *speaker) fail(errorType string) {
	s.attrs = append(s.attrs, attribute.String("error.type", errorType))
	s.span.SetStatus(codes.Error, "")
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

// same is x == y for values whose types may not be comparable.
func same(x, y any) (ok bool) {
	defer func() { _ = recover() }()
	return x == y
}

// wraps is errors.Is(err, target) for errors whose types may not be comparable.
func wraps(err, target error) (ok bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}
