package pipeline

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A step is a part of a policy's work. Contexts have theirs under stepKey.
type step struct {
	layer *layer
	name  string
	began time.Time
	span  trace.Span // nil if it is not traced

	mu    sync.Mutex
	attrs []slog.Attr
}

type stepKey struct{}

// stepOf returns the step of l that ctx belongs to, or nil.
func (l *layer) stepOf(ctx context.Context) *step {
	if s, ok := ctx.Value(stepKey{}).(*step); ok && s.layer == l {
		return s
	}
	return nil
}

// Step implements [policy.Recorder].
func (l *layer) Step(ctx context.Context, _ policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	return l.step(ctx, nil, name, attrs)
}

// Step implements [policy.Recorder].
func (s *speaker) Step(ctx context.Context, call policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	if s.flat {
		return s.layer.step(ctx, nil, name, attrs)
	}
	below := trace.SpanContextFromContext(ctx).IsValid() // or else it has been detached
	ctx, span := s.layer.pipeline.tracer.Start(ctx, name, linkOptions(ctx, attrs)...)
	if below {
		if s.layer.kind == "retry" {
			call.Attempt = 0 // its steps are between attempts
		}
		span.SetAttributes(appendPlace(nil, call)...)
	}
	return s.layer.step(ctx, span, name, attrs)
}

func (l *layer) step(ctx context.Context, span trace.Span, name string, attrs []slog.Attr) (context.Context, func(error)) {
	s := &step{layer: l, name: name, began: time.Now(), span: span, attrs: attrs}
	if span != nil { // which has its links already
		span.SetAttributes(attributes(l.kind, attrs)...)
	}
	return context.WithValue(ctx, stepKey{}, s), func(err error) { s.end(ctx, err) }
}

// add adds attributes, to the step's span too.
func (s *step) add(attrs []slog.Attr) {
	s.mu.Lock()
	s.attrs = append(s.attrs, attrs...)
	s.mu.Unlock()
	if s.span != nil {
		s.span.SetAttributes(attributes(s.layer.kind, attrs)...)
		addLinks(s.span, attrs)
	}
}

func (s *step) end(ctx context.Context, err error) {
	errorType := ""
	if err != nil && !left(ctx, err) {
		errorType = policy.ErrorType(err)
	}
	if s.span != nil {
		if errorType != "" {
			s.span.SetAttributes(attribute.String("error.type", errorType))
			s.span.SetStatus(codes.Error, "")
		}
		defer s.span.End()
	}
	if m := s.layer.meter; m != nil && strings.HasPrefix(s.name, "token refresh") {
		s.mu.Lock()
		defer s.mu.Unlock()
		m.refreshed(ctx, time.Since(s.began), s.attrs, errorType)
	}
}
