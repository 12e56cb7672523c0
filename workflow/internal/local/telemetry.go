package local

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/evenkeel-go/evenkeel/policy"
)

const scope = "github.com/evenkeel-go/evenkeel"

func tracerOf(tp trace.TracerProvider) trace.Tracer {
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	return tp.Tracer(scope)
}

// startSpan starts the span of a run's part in this process. That of a run that was begun
// before begins a new trace, with a link to the first.
func (f *flight) startSpan(resumed bool) (context.Context, trace.Span) {
	var options []trace.SpanStartOption
	if resumed {
		options = append(options, trace.WithNewRoot())
		if first := spanContext(f.ctx, f.record.Begin.TraceParent); first.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: first}))
		}
	}
	ctx, span := f.engine.tracer.Start(f.ctx, "flow "+f.key.Flow, options...)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("evenkeel.workflow.flow", f.key.Flow),
			attribute.String("evenkeel.workflow.id", f.key.ID),
			attribute.Bool("evenkeel.workflow.resumed", resumed),
		)
	}
	return ctx, span
}

// startStepSpan starts the span of an attempt of a step. Below a run that is not recorded
// there is none.
func (r *run) startStepSpan(e *Entry) (context.Context, trace.Span) {
	if !r.span.IsRecording() {
		return r.ctx, noop.Span{}
	}
	ctx, span := r.engine.tracer.Start(r.ctx, "step "+e.Step)
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("evenkeel.workflow.flow", r.key.Flow),
			attribute.String("evenkeel.workflow.id", r.key.ID),
			attribute.String("evenkeel.workflow.step", e.Step),
			attribute.Int("evenkeel.workflow.ordinal", r.ordinal),
			attribute.Int("evenkeel.workflow.attempt", e.Attempts+1),
		)
	}
	return ctx, span
}

// endSpan ends a span. What failed because ctx has ended, as the engine is being closed,
// is not to blame.
func endSpan(ctx context.Context, span trace.Span, err error) {
	if err != nil && ctx.Err() == nil {
		span.SetStatus(codes.Error, "")
		span.SetAttributes(attribute.String("error.type", policy.ErrorType(err)))
	}
	span.End()
}

// tellStack has span tell where a panic was. Nobody else does: a failure is what
// everybody may read, for as long as the run is kept.
func tellStack(span trace.Span, err error) {
	if e, ok := errors.AsType[*panicError](err); ok && e.stack != "" {
		span.SetAttributes(attribute.String("code.stacktrace", e.stack))
	}
}

const traceParentHeader = "traceparent"

// traceParent returns the span of ctx as W3C Trace Context has it, or "".
func traceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := make(propagation.MapCarrier)
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceParentHeader]
}

// spanContext is the inverse of traceParent. What is not valid is none.
func spanContext(ctx context.Context, parent string) trace.SpanContext {
	ctx = trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	carrier := propagation.MapCarrier{traceParentHeader: parent}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, carrier))
}
