package policy

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Shadow returns a policy that decides as p does but refuses nothing, so that p can
// be watched in production before calls are left to it. A call that p refuses passes
// all the same, and tells so by an event such as "breaker.would_have_rejected", with
// what p said of it. It says so once, in place of p's own event and outcome. All that p
// says has the attribute shadow=true.
//
//	guard := breaker.New(breaker.Config{})
//	p, err := pipeline.New("users", retry.New(retry.Config{}), policy.Shadow(guard))
//
// A policy takes part by refusing calls as those of this module do: it returns an error
// that matches [ErrRejected] without having called next, tells of it by an event named
// package.rejected, and by the outcome "rejected". There is nothing more to it.
// Everything else that p does, it does: in shadow too, calls wait as long as p has them
// wait, those that are refused in the end included.
//
// Of a call that passes against its will p learns no more than of one that it
// refused. So it goes on deciding as if it were obeyed: a circuit that would be open is
// probed by a call now and then, and closes once those succeed; only calls that would
// have got a slot hold one. What differs is the other side, which gets all the calls.
//
// The policy is safe for concurrent use. It has p's name, and shares p's state with whoever
// else uses p, in earnest or not. Each call costs two allocations more than p's own.
// The shadow of nil is nil.
func Shadow(p Policy) Policy {
	if p == nil {
		return nil
	}
	return &shadow{p}
}

type shadow struct{ Policy }

// Unwrap returns the policy whose shadow s is.
func (s *shadow) Unwrap() Policy { return s.Policy }

// Type returns the kind of the policy, or its name if that is all there is.
func (s *shadow) Type() string {
	if typed, ok := s.Policy.(interface{ Type() string }); ok {
		return typed.Type()
	}
	return s.Name()
}

// Validate reports what is wrong with the policy.
func (s *shadow) Validate() error {
	if v, ok := s.Policy.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// Gauges returns those of the policy, see [Gauge].
func (s *shadow) Gauges() iter.Seq[Gauge] {
	if g, ok := s.Policy.(interface{ Gauges() iter.Seq[Gauge] }); ok {
		return g.Gauges()
	}
	return func(func(Gauge) bool) {}
}

// Do implements [Policy].
func (s *shadow) Do(ctx context.Context, call Call, next Handler) error {
	w := &watch{call: call, next: next}
	watched := call
	if call.recorder != nil {
		watched.recorder = w
	}
	err := s.Policy.Do(ctx, watched, w.pass)
	if err == nil || w.passed.Load() || !errors.Is(err, ErrRejected) && ClassOf(err) != Rejected {
		return err
	}
	w.tell(ctx, strings.ReplaceAll(s.Type(), " ", "_"))
	return next(ctx, call)
}

// A watch is kept over a call on its way through a policy in shadow. It is what
// the policy speaks to.
type watch struct {
	call   Call // as it came
	next   Handler
	passed atomic.Bool // whether the policy has called next

	mu        sync.Mutex
	namespace string      // of the event by which the policy told that it refused
	attrs     []slog.Attr // of that event
}

// pass is what the policy knows as next.
func (w *watch) pass(ctx context.Context, call Call) error {
	w.passed.Store(true)
	if call.recorder == w {
		call.recorder = w.call.recorder
	}
	return w.next(ctx, call)
}

var inShadow = slog.Bool("shadow", true)

// tell tells that the policy has refused, in other words than its own.
func (w *watch) tell(ctx context.Context, kind string) {
	w.mu.Lock()
	namespace, attrs := cmp.Or(w.namespace, kind), append(slices.Clip(w.attrs), inShadow)
	w.mu.Unlock()
	w.call.Emit(ctx, namespace+".would_have_rejected", attrs...)
}

// Emit implements [Recorder]. It holds back the refusal, which is yet to be told in
// other words.
func (w *watch) Emit(ctx context.Context, event Event) {
	if namespace, ok := strings.CutSuffix(event.Name, ".rejected"); ok {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.namespace, w.attrs = namespace, event.Attrs
		return
	}
	event.Call.recorder = w.call.recorder
	event.Attrs = append(slices.Clip(event.Attrs), inShadow)
	w.call.recorder.Emit(ctx, event)
}

// Step implements [Recorder].
func (w *watch) Step(ctx context.Context, call Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	call.recorder = w.call.recorder
	return w.call.recorder.Step(ctx, call, name, attrs)
}

// Outcome is behind [Call.Outcome].
func (w *watch) Outcome(ctx context.Context, outcome string) {
	if outcome == "rejected" {
		outcome = "would_have_rejected"
	}
	w.call.Outcome(ctx, outcome)
}

// Note, Link and Detach are behind the methods of [Call] of that name.

func (w *watch) Note(ctx context.Context, attr slog.Attr)   { w.call.Note(ctx, attr) }
func (w *watch) Link(ctx context.Context) slog.Attr         { return w.call.Link(ctx) }
func (w *watch) Detach(ctx context.Context) context.Context { return w.call.Detach(ctx) }
