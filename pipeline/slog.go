package pipeline

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// SlogObserver returns an observer, for [Pipeline.WithObserver], that writes the
// events of policies to logger: with the event's name as message; the names of the
// pipeline, the policy and the call, the call's key, the attempt and the hedge if
// there are several; the trace and the span, if there are any; and what the policy
// says. What concerns other calls too, such as the opening of a circuit, is of level Warn or
// Error, its end of Info, and decisions about a single call of Debug.
func SlogObserver(logger *slog.Logger) func(ctx context.Context, event policy.Event) {
	return func(ctx context.Context, event policy.Event) {
		level := slogLevel(event)
		if !logger.Enabled(ctx, level) {
			return
		}
		attrs := append(make([]slog.Attr, 0, 9+len(event.Attrs)), slog.String("pipeline", event.Pipeline), slog.String("policy", event.Policy))
		attrs = appendNonzero(attrs, "call", event.Call.Name)
		attrs = appendNonzero(attrs, "key", event.Call.Key)
		attrs = appendNonzero(attrs, "attempt", event.Call.Attempt)
		attrs = appendNonzero(attrs, "hedge", event.Call.Hedge)
		if span := trace.SpanContextFromContext(ctx); span.IsValid() {
			attrs = append(attrs, slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
		}
		logger.LogAttrs(ctx, level, event.Name, append(attrs, event.Attrs...)...)
	}
}

func appendNonzero[T comparable](attrs []slog.Attr, key string, value T) []slog.Attr {
	if value == *new(T) {
		return attrs
	}
	return append(attrs, slog.Any(key, value))
}

// slogLevel returns the level of an event in a log of package slog: that of
// what is no news is Debug.
func slogLevel(event policy.Event) slog.Level {
	switch severity := severityOf(event); {
	case severity >= log.SeverityError:
		return slog.LevelError
	case severity >= log.SeverityWarn:
		return slog.LevelWarn
	case severity >= log.SeverityInfo:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}
