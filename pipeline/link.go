package pipeline

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// A link refers to a span of another call, or of what set a step going. It is a
// value of what policies say.
type link struct{ trace.SpanContext }

// String returns the identifiers of trace and span.
func (l link) String() string { return l.TraceID().String() + ":" + l.SpanID().String() }

// Link is behind [policy.Call.Link].
func (s *speaker) Link(ctx context.Context) slog.Attr {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return slog.Attr{}
	}
	return slog.Any("link", link{span})
}

type originKey struct{}

// Detach is behind [policy.Call.Detach].
func (s *speaker) Detach(ctx context.Context) context.Context {
	origin := trace.SpanContextFromContext(ctx)
	ctx = trace.ContextWithSpan(ctx, nil)
	return context.WithValue(ctx, originKey{}, origin)
}

// linkOptions returns the options of a span that begins with links: those among
// attrs, and one to what ctx was detached from, if it is the first span since.
func linkOptions(ctx context.Context, attrs []slog.Attr) []trace.SpanStartOption {
	links := linksOf(attrs)
	if origin, ok := ctx.Value(originKey{}).(trace.SpanContext); ok && !trace.SpanContextFromContext(ctx).IsValid() {
		links = append(links, trace.Link{SpanContext: origin})
	}
	if len(links) == 0 {
		return nil
	}
	return []trace.SpanStartOption{trace.WithLinks(links...)}
}

// addLinks adds the links among attrs to span.
func addLinks(span trace.Span, attrs []slog.Attr) {
	for _, l := range linksOf(attrs) {
		span.AddLink(l)
	}
}

// linksOf returns the links among what a policy says.
func linksOf(attrs []slog.Attr) []trace.Link {
	var links []trace.Link
	for _, attr := range attrs {
		if attr.Value.Kind() != slog.KindAny {
			continue
		}
		if l, ok := attr.Value.Any().(link); ok {
			links = append(links, trace.Link{SpanContext: l.SpanContext})
		}
	}
	return links
}
