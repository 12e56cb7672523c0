package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// A finder is a [sdktrace.SpanProcessor] that finds the spans that tell of a decision.
// It is safe for concurrent use. Make one with newFinder.
type finder struct {
	mu     sync.Mutex
	counts map[string]int           // by the span's name
	traces map[string]trace.TraceID // the first with such a span
}

func newFinder() *finder {
	return &finder{counts: make(map[string]int), traces: make(map[string]trace.TraceID)}
}

// tells reports whether a span of that name tells of a decision: "retry: recovered"
// does, "retry" does not.
func tells(name string) bool {
	return strings.Contains(name, ": ") || strings.HasPrefix(name, "backoff after ") || name == "token wait"
}

// OnStart implements [sdktrace.SpanProcessor].
func (f *finder) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd implements [sdktrace.SpanProcessor].
func (f *finder) OnEnd(span sdktrace.ReadOnlySpan) {
	name := span.Name()
	if !tells(name) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.counts[name]++; f.counts[name] == 1 {
		f.traces[name] = span.SpanContext().TraceID()
	}
}

// Shutdown implements [sdktrace.SpanProcessor].
func (f *finder) Shutdown(context.Context) error { return nil }

// ForceFlush implements [sdktrace.SpanProcessor].
func (f *finder) ForceFlush(context.Context) error { return nil }

// report prints what has been found, and where it is in Jaeger if it has been sent there.
func (f *finder) report(w io.Writer, ui string, sent bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprint(w, "In Jaeger, choose the service frontend, and search for one of these operations:\n\n")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(f.counts)) {
		where := ""
		if sent {
			where = ui + "/trace/" + f.traces[name].String()
		}
		fmt.Fprintf(table, "  %s\t%d\t%s\n", name, f.counts[name], where)
	}
	_ = table.Flush() // It is for a reader who has gone.
}
