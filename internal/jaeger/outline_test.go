package jaeger_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// outline returns spans as text: a line for each of them with its name, ✗ if it failed, its kind
// unless that is internal, how long it took, and what it links to, indented below its parent; with
// all that there is to know in further lines if it is to be whole.
func outline(spans tracetest.SpanStubs, whole bool) string {
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), a.EndTime.Compare(b.EndTime), cmp.Compare(a.Name, b.Name))
	})
	names := make(map[trace.SpanID]string)
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var text strings.Builder
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		for _, s := range spans {
			if s.Parent.SpanID() != parent {
				continue
			}
			text.WriteString(indent + line(s, names) + "\n")
			if whole {
				text.WriteString(indent + "  | " + strings.Join(details(s), "\n"+indent+"  | ") + "\n")
			}
			write(s.SpanContext.SpanID(), indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return text.String()
}

func line(s tracetest.SpanStub, names map[trace.SpanID]string) string {
	text := s.Name
	if s.Status.Code == codes.Error {
		text += " ✗"
	}
	if s.SpanKind != trace.SpanKindInternal {
		text += " " + s.SpanKind.String()
	}
	text += " " + s.EndTime.Sub(s.StartTime).String()
	for _, l := range s.Links {
		text += " → " + names[l.SpanContext.SpanID()]
	}
	return text
}

// details returns everything about a span that has to arrive.
func details(s tracetest.SpanStub) []string {
	lines := []string{
		fmt.Sprintf("%v %v below %v", s.SpanContext.TraceID(), s.SpanContext.SpanID(), s.Parent.SpanID()),
		fmt.Sprintf("from %d to %d", s.StartTime.UnixNano(), s.EndTime.UnixNano()),
		fmt.Sprintf("status %v %q, %d events", s.Status.Code, s.Status.Description, len(s.Events)),
		fmt.Sprintf("of %v, %s %s", s.Resource, s.InstrumentationScope.Name, s.InstrumentationScope.Version),
	}
	for _, l := range s.Links {
		lines = append(lines, fmt.Sprintf("link to %v %v", l.SpanContext.TraceID(), l.SpanContext.SpanID()))
	}
	var attrs []string
	for _, kv := range s.Attributes {
		attrs = append(attrs, fmt.Sprintf("%s=%v (%v)", kv.Key, kv.Value.String(), kv.Value.Type()))
	}
	slices.Sort(attrs)
	return append(lines, attrs...)
}
