package pipeline_test

import (
	"fmt"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// outline returns the trees of spans as text: a line for each span, with its
// kind if it is not an internal one, ✗ if it failed, its duration, what tell
// says of it, and where it links to.
func outline(spans []sdktrace.ReadWriteSpan, tell func(sdktrace.ReadOnlySpan) string) string {
	o := outliner{spans: spans, tell: tell, paths: make(map[trace.SpanID]string)}
	o.number()
	for i, root := range o.roots {
		if len(o.roots) > 1 {
			fmt.Fprintf(&o.text, "#%d ", i+1)
		}
		o.write(root, "")
	}
	return o.text.String()
}

type outliner struct {
	spans []sdktrace.ReadWriteSpan
	tell  func(sdktrace.ReadOnlySpan) string
	roots []sdktrace.ReadOnlySpan
	paths map[trace.SpanID]string // by which links refer to spans
	text  strings.Builder
}

// number has links refer to spans by the number of the tree and the names of
// those above them.
func (o *outliner) number() {
	for _, span := range o.spans { // parents start before their children
		id, parent := span.SpanContext().SpanID(), span.Parent().SpanID()
		if path, ok := o.paths[parent]; ok {
			o.paths[id] = path + " / " + span.Name()
			continue
		}
		o.roots = append(o.roots, span)
		o.paths[id] = fmt.Sprintf("#%d %s", len(o.roots), span.Name())
	}
}

func (o *outliner) write(span sdktrace.ReadOnlySpan, indent string) {
	o.text.WriteString(indent + span.Name())
	if kind := span.SpanKind(); kind != trace.SpanKindInternal {
		o.text.WriteString(" " + strings.ToUpper(kind.String()))
	}
	if span.Status().Code == codes.Error {
		o.text.WriteString(" ✗")
	}
	if took := span.EndTime().Sub(span.StartTime()); took > 0 {
		o.text.WriteString(" " + took.String())
	}
	o.text.WriteString(o.tell(span))
	for _, link := range span.Links() {
		path, ok := o.paths[link.SpanContext.SpanID()]
		if !ok {
			path = "a span that is not here"
		}
		o.text.WriteString(" ↪ " + path)
	}
	o.text.WriteString("\n")
	for _, child := range o.spans {
		if child.Parent().SpanID() == span.SpanContext().SpanID() {
			o.write(child, indent+"  ")
		}
	}
}

// only tells the attributes of the given keys, by the last part of these.
func only(keys ...attribute.Key) func(sdktrace.ReadOnlySpan) string {
	return func(span sdktrace.ReadOnlySpan) string {
		var text strings.Builder
		for _, key := range keys {
			for _, kv := range span.Attributes() {
				if kv.Key == key {
					fmt.Fprintf(&text, " %s=%s", key[strings.LastIndex(string(key), ".")+1:], kv.Value.String())
				}
			}
		}
		return text.String()
	}
}

// everything tells all attributes but those that would only repeat on every line
// what the scenario says.
func everything(span sdktrace.ReadOnlySpan) string {
	var texts []string
	for _, kv := range span.Attributes() {
		switch kv.Key {
		case "evenkeel.policy.type", "server.address", "server.port", "url.full", "http.request.method":
			continue
		}
		texts = append(texts, fmt.Sprintf(" %s=%s", strings.TrimPrefix(string(kv.Key), "evenkeel."), quoted(kv.Value.String())))
	}
	slices.Sort(texts)
	return strings.Join(texts, "")
}

func quoted(value string) string {
	if strings.Contains(value, " ") {
		return fmt.Sprintf("%q", value)
	}
	return value
}
