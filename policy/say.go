package policy

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// This file is what policies have to say about calls. The methods take a pointer, which
// spares copying a call for each word that nobody hears.

// Emit tells of a decision worth knowing. Events are named package.past
// participle, such as "retry.exhausted", and are part of a policy's interface;
// a call that goes well emits nothing. The last event names the policy's span,
// "retry: exhausted", and its attributes are the span's. An event that is emitted
// with the context of a [Call.Step] belongs to that step: its attributes are the
// step's, and the policy's span is left alone.
//
// Emit must not be called with a lock held that the policy's other methods take:
// observers may call them.
func (c *Call) Emit(ctx context.Context, event string, attrs ...slog.Attr) {
	if c.recorder != nil {
		c.recorder.Emit(ctx, Event{Name: event, Call: *c, Attrs: kept(attrs)})
	}
}

// Outcome says how the call has ended, as the policy sees it, in one of few words,
// such as "recovered". It is said once, of calls that go well, too: they are
// counted by it, and it is an attribute of the policy's span.
func (c *Call) Outcome(ctx context.Context, outcome string) {
	if r, ok := c.recorder.(outcomeRecorder); ok {
		r.Outcome(ctx, outcome)
	}
}

// Note adds an attribute to the policy's span, or to that of the [Call.Step] that
// ctx belongs to. It tells observers nothing, and costs next to nothing if the call
// is not traced.
func (c *Call) Note(ctx context.Context, attr slog.Attr) {
	if r, ok := c.recorder.(noteRecorder); ok && !attr.Equal(slog.Attr{}) {
		r.Note(ctx, attr)
	}
}

// Link returns an attribute by which another call can refer to what ctx belongs
// to: given to its Emit, Note or Step, it shows as a link from the one span to the
// other. It may be kept for long. It is the zero Attr if the call is not traced.
func (c *Call) Link(ctx context.Context) slog.Attr {
	if r, ok := c.recorder.(linkRecorder); ok {
		return r.Link(ctx)
	}
	return slog.Attr{}
}

// Detach returns a context for work that the call sets going but does not wait
// for: it has the values of ctx but not its end, and a [Call.Step] begun with it is
// a trace of its own, with a link to what ctx belongs to.
func (c *Call) Detach(ctx context.Context) context.Context {
	ctx = context.WithoutCancel(ctx)
	if r, ok := c.recorder.(detachRecorder); ok {
		return r.Detach(ctx)
	}
	return ctx
}

// Step begins a part of a policy's work that takes time, such as a token
// request, and returns the context to do it with and a function that ends it
// with its error, to be called once. It shows as a span of that name, which
// should have few distinct values.
func (c *Call) Step(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, func(error)) {
	if c.recorder == nil {
		return ctx, endNothing
	}
	return c.recorder.Step(ctx, *c, name, kept(attrs))
}

func endNothing(error) {}

// kept returns a copy of attrs, which so stay on the caller's stack when nobody
// listens, without those that say nothing.
func kept(attrs []slog.Attr) []slog.Attr {
	kept := make([]slog.Attr, 0, len(attrs))
	for _, attr := range attrs {
		if !attr.Equal(slog.Attr{}) {
			kept = append(kept, attr)
		}
	}
	return slices.Clip(kept)
}

// Wait sleeps for d, in a [Call.Step] of the given name. If ctx ends first, it
// returns ctx's cause at once.
func (c *Call) Wait(ctx context.Context, d time.Duration, name string, attrs ...slog.Attr) error {
	ctx, end := c.Step(ctx, name, attrs...)
	defer end(nil)
	return Sleep(ctx, d)
}

// Sleep sleeps for d. If ctx ends first, it returns ctx's cause at once.
func Sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d < time.Microsecond {
		return nil // It takes longer to have a timer.
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
