package waterfall

import (
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Outline returns the trees that spans form as text, to be compared with what a
// test wants: a line for each span, with two spaces for each level, its name, a ✗
// if its status is Error, and a ↪ before the name of each span that it links to, or
// before "?" if that is not among spans. Siblings stand in the order in which they
// started, and a span whose parent is not among spans is a root.
func Outline(spans []sdktrace.ReadOnlySpan) string {
	nodes := nodesOf(spans)
	known := index(nodes)
	var b strings.Builder
	for _, root := range forest(nodes, known) {
		root.outline(&b, known, "")
	}
	return b.String()
}

func (n *node) outline(b *strings.Builder, known map[spanKey]*node, indent string) {
	b.WriteString(indent + n.name + n.mark())
	for _, link := range n.links {
		name := "?"
		if target := known[link]; target != nil {
			name = target.name
		}
		b.WriteString(" ↪ " + name)
	}
	b.WriteString("\n")
	for _, child := range n.children {
		child.outline(b, known, indent+"  ")
	}
}

// A spanKey identifies a span.
type spanKey struct {
	trace trace.TraceID
	span  trace.SpanID
}

func keyOf(sc trace.SpanContext) spanKey { return spanKey{sc.TraceID(), sc.SpanID()} }

// A node is what is shown of a span, with the spans below it. It is a copy: a span
// that has not ended may change at any time.
type node struct {
	key         spanKey
	parent      trace.SpanContext
	name        string
	kind        trace.SpanKind
	attrs       map[attribute.Key]string
	failed      bool
	description string // of the failure
	start, end  time.Time
	links       []spanKey
	children    []*node
	number      int // what others link to it by, or 0
}

// nodesOf returns nodes for spans in the order in which they started. Those that
// started at the same time keep the order that they have in spans.
func nodesOf(spans []sdktrace.ReadOnlySpan) []*node {
	nodes := make([]*node, len(spans))
	for i, span := range spans {
		nodes[i] = newNode(span)
	}
	slices.SortStableFunc(nodes, func(a, b *node) int { return a.start.Compare(b.start) })
	return nodes
}

func newNode(span sdktrace.ReadOnlySpan) *node {
	status := span.Status()
	n := &node{
		key:         keyOf(span.SpanContext()),
		parent:      span.Parent(),
		name:        printable(span.Name()),
		kind:        span.SpanKind(),
		attrs:       make(map[attribute.Key]string),
		failed:      status.Code == codes.Error,
		description: printable(status.Description),
		start:       span.StartTime(),
		end:         span.EndTime(),
	}
	for _, a := range span.Attributes() {
		n.attrs[a.Key] = printable(a.Value.String())
	}
	for _, link := range span.Links() {
		n.links = append(n.links, keyOf(link.SpanContext))
	}
	return n
}

// index returns nodes by their keys.
func index(nodes []*node) map[spanKey]*node {
	known := make(map[spanKey]*node, len(nodes))
	for _, n := range nodes {
		known[n.key] = n
	}
	return known
}

// forest puts nodes below their parents, and returns those that have none.
func forest(nodes []*node, known map[spanKey]*node) (roots []*node) {
	for _, n := range nodes {
		if parent := known[keyOf(n.parent)]; parent != nil && n.parent.IsValid() {
			parent.children = append(parent.children, n)
		} else {
			roots = append(roots, n)
		}
	}
	return roots
}

// walk calls visit with n and all nodes below it, in the order of their lines.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, child := range n.children {
		child.walk(visit)
	}
}

// mark returns what follows the name of a span that failed.
func (n *node) mark() string {
	if n.failed {
		return " ✗"
	}
	return ""
}

// unfinished reports whether the span had not ended.
func (n *node) unfinished() bool { return n.end.IsZero() }

// took returns how long the span took, with three significant digits.
func (n *node) took() string {
	if n.unfinished() {
		return "…"
	}
	d, unit := n.end.Sub(n.start), time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
