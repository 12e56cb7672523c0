package pipeline

import (
	"context"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/evenkeel-go/evenkeel/policy"
)

// scope names the library as the one who makes the spans.
const scope = "github.com/evenkeel-go/evenkeel"

func (p *Pipeline) useGlobals() {
	p.tracer = otel.Tracer(scope)
	p.propagator = otel.GetTextMapPropagator()
}

// WithTracerProvider returns a copy of p, with the same policies and the state
// that they keep, whose spans go to tp. Default: the global provider, also one
// that is installed later. Nested pipelines keep their own. With a provider of package
// [go.opentelemetry.io/otel/trace/noop] or nil nothing is traced, at no cost.
func (p *Pipeline) WithTracerProvider(tp trace.TracerProvider) *Pipeline {
	return p.with(func(q *Pipeline) {
		q.tracer = nil
		if _, off := tp.(noop.TracerProvider); tp != nil && !off {
			q.tracer = tp.Tracer(scope)
		}
	})
}

// WithPropagator returns a copy of p that writes the trace context into HTTP
// requests by means of pr. Default: the global propagator. With nil nothing is
// written.
func (p *Pipeline) WithPropagator(pr propagation.TextMapPropagator) *Pipeline {
	return p.with(func(q *Pipeline) {
		q.propagator = pr
		if pr == nil {
			q.propagator = propagation.NewCompositeTextMapPropagator()
		}
	})
}

// WithObserver returns a copy of p that calls observe with the events of its
// policies, see [policy.Call.Emit], after those observers that p already has.
// The call waits for it, and several calls may call it at a time. It must not
// panic: a policy may speak from a goroutine of its own, as auth does when a token
// has come. The events of nested pipelines go to their own observers.
func (p *Pipeline) WithObserver(observe func(ctx context.Context, event policy.Event)) *Pipeline {
	return p.with(func(q *Pipeline) {
		if observe != nil {
			// Clip, so that copies of p never share the element appended here.
			q.observers = append(slices.Clip(q.observers), observe)
		}
	})
}

// WithFailures returns a copy of p whose Transport takes answers with the given
// status codes for failures, too, besides those that p already does. That lets policies
// know of them: 403, for an API that refuses a revoked token by it. Inside of
// the pipeline such an answer is a [StatusError], of class [policy.Permanent] if it is
// no failure by itself. If the policies settle for it, the HTTP client gets it as
// the server sent it, body unread. Default: 401, 408, 429 and 5xx.
func (p *Pipeline) WithFailures(statusCodes ...int) *Pipeline {
	return p.with(func(q *Pipeline) {
		// Clip, as in WithObserver.
		q.failures = append(slices.Clip(q.failures), statusCodes...)
	})
}

// with returns a changed copy of p. A p that is not usable stays so.
func (p *Pipeline) with(change func(*Pipeline)) *Pipeline {
	if p == nil || p.first == nil {
		return p
	}
	q := *p
	change(&q)
	return q.compose()
}
