package waterfall

import (
	"slices"
	"strings"
	"unicode"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Outline returns the tree that spans form as text, to be compared with what a
// test wants: a line for each span, with two spaces for each level, its name,
// and " ✗" if its status is Error. Siblings stand in the order in which they
// started, and a span whose parent is not among spans is a root.
func Outline(spans []sdktrace.ReadOnlySpan) string {
	var b strings.Builder
	for _, root := range forest(spans) {
		root.outline(&b, "")
	}
	return b.String()
}

// A node is a span with the spans below it.
type node struct {
	sdktrace.ReadOnlySpan

	children []*node
}

// forest arranges spans under their parents. Siblings that started at the same
// time keep the order that they have in spans.
func forest(spans []sdktrace.ReadOnlySpan) (roots []*node) {
	nodes := make([]*node, len(spans))
	parents := make(map[trace.SpanID]*node, len(spans))
	for i, span := range slices.SortedStableFunc(slices.Values(spans), byStart) {
		nodes[i] = &node{ReadOnlySpan: span}
		parents[span.SpanContext().SpanID()] = nodes[i]
	}
	delete(parents, trace.SpanID{}) // the parent that a root has
	for _, n := range nodes {
		if parent, ok := parents[n.Parent().SpanID()]; ok {
			parent.children = append(parent.children, n)
		} else {
			roots = append(roots, n)
		}
	}
	return roots
}

func byStart(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) }

func byEnd(a, b sdktrace.ReadOnlySpan) int { return a.EndTime().Compare(b.EndTime()) }

func (n *node) outline(b *strings.Builder, indent string) {
	b.WriteString(indent + printable(n.Name()) + n.mark() + "\n")
	for _, child := range n.children {
		child.outline(b, indent+"  ")
	}
}

func (n *node) failed() bool { return n.Status().Code == codes.Error }

// mark returns what follows the name of a span that failed.
func (n *node) mark() string {
	if n.failed() {
		return " ✗"
	}
	return ""
}

// printable replaces what could upset a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
