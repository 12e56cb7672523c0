package main

import (
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

// spans are those of this process that have ended.
var spans = tracetest.NewSpanRecorder()

// startTracing has everybody's spans recorded.
var startTracing = sync.OnceFunc(func() {
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
})

// traces shows the traces of some runs, if it is this process that was at work on them.
func (b board) traces(ids ...string) {
	for _, id := range ids {
		if of := tracesOf(id); len(of) > 0 {
			fmt.Fprintf(b.w, "\nThe trace of %s:\n\n%s", id, waterfall.Format(of, waterfall.Terminal(os.Stdout)))
		}
	}
}

// tracesOf returns the spans of all traces that a run is in.
func tracesOf(id string) (of []sdktrace.ReadOnlySpan) {
	ended := spans.Ended()
	in := make(map[trace.TraceID]bool)
	for _, span := range ended {
		for _, a := range span.Attributes() {
			if names(a, id) {
				in[span.SpanContext().TraceID()] = true
			}
		}
	}
	for _, span := range ended {
		if in[span.SpanContext().TraceID()] {
			of = append(of, span)
		}
	}
	return of
}

// names reports whether an attribute, one of ours or of Temporal's, says which run a span belongs to.
func names(a attribute.KeyValue, id string) bool {
	switch a.Key {
	case "evenkeel.workflow.id":
		return a.Value.AsString() == id
	case "temporalWorkflowID":
		return a.Value.AsString() == Place.Name()+"/"+id
	default:
		return false
	}
}
