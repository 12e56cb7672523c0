package waterfall

import (
	"fmt"
	"strings"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Format returns the traces among spans as text, with an empty line between them.
// A span has a line with its place in the tree, its name, a ✗ if its status is
// Error, what else is worth knowing, how long it took, and a bar that shows when.
// The bars of spans that have no spans below them are heavy: they show where the
// time went. Those of spans that have not ended are broken.
//
// A link has a line below the span, with a ↪ and the name of the span that it leads
// to, which has the same number in brackets; if that is not among spans, with its
// identifier and that of its trace.
//
// A span whose parent is not among spans is a root. If its parent was in this
// process, a line with a ↑ says so.
func Format(spans []sdktrace.ReadOnlySpan, config Config) string {
	return format(spans, config, func(spanKey) string { return "" })
}

// format is Format with the names of spans that are shown elsewhere.
func format(spans []sdktrace.ReadOnlySpan, config Config, nameOf func(spanKey) string) string {
	nodes := nodesOf(spans)
	known := index(nodes)
	traces := byTrace(forest(nodes, known))
	number(traces, known)

	var b strings.Builder
	for i, roots := range traces {
		if i > 0 {
			b.WriteString("\n")
		}
		t := &text{config: config, pen: pen(config.Color), known: known, nameOf: nameOf}
		t.write(&b, roots)
	}
	return b.String()
}

// byTrace returns the roots of each trace.
func byTrace(roots []*node) (traces [][]*node) {
	places := make(map[trace.TraceID]int)
	for _, root := range roots {
		i, ok := places[root.key.trace]
		if !ok {
			i = len(traces)
			places[root.key.trace] = i
			traces = append(traces, nil)
		}
		traces[i] = append(traces[i], root)
	}
	return traces
}

// number numbers the spans that others link to.
func number(traces [][]*node, known map[spanKey]*node) {
	count := 0
	for _, roots := range traces {
		for _, root := range roots {
			root.walk(func(n *node) {
				for _, link := range n.links {
					if target := known[link]; target != nil && target.number == 0 {
						count++
						target.number = count
					}
				}
			})
		}
	}
}

// A text is the text of a trace.
type text struct {
	config Config
	pen    pen
	known  map[spanKey]*node
	nameOf func(spanKey) string
	rows   []row
}

func (t *text) write(b *strings.Builder, roots []*node) {
	if t.config.TraceIDs {
		heading := "trace " + roots[0].key.trace.String()
		b.WriteString(t.pen.dim(cut(heading, t.config.columns())) + "\n")
	}
	columns := t.layOut(roots)
	axis := newAxis(roots, columns.bar)
	for _, r := range t.rows {
		b.WriteString(t.line(r, columns, axis) + "\n")
	}
}

// A row is a line of the text: a span, or something said about the span above.
type row struct {
	lines, name, mark, number, notes string

	span *node // nil in a row about the span above
}

// label returns what r says at least.
func (r row) label() string { return r.lines + r.name + r.mark + r.number }

// add adds the rows of n and of the spans below it. First and rest are the lines of
// the tree before n itself and before what follows.
func (t *text) add(n, parent *node, style style, first, rest string) {
	t.rows = append(t.rows, row{first, n.name, n.mark(), n.reference(), n.notes(parent, t.config.Attributes), n})
	if parent == nil {
		t.addParent(n, rest)
	}
	for _, link := range n.links {
		t.rows = append(t.rows, t.link(link, rest))
	}
	if width(rest) > t.config.columns() {
		style.fork, style.pass, style.last, style.none = "", "", "", "" // out of sight
	}
	for i, child := range n.children {
		if i < len(n.children)-1 {
			t.add(child, n, style, rest+style.fork, rest+style.pass)
		} else {
			t.add(child, n, style, rest+style.last, rest+style.none)
		}
	}
}

// addParent adds a row for the parent of a root, if it is known or ought to be.
func (t *text) addParent(root *node, lines string) {
	name := printable(t.nameOf(keyOf(root.parent)))
	if name == "" && root.parent.IsValid() && !root.parent.IsRemote() {
		name = "span " + root.parent.SpanID().String()
	}
	if name != "" {
		t.rows = append(t.rows, row{lines: lines, name: "↑ " + name})
	}
}

// link returns the row of a link to a span.
func (t *text) link(to spanKey, lines string) row {
	if target := t.known[to]; target != nil {
		return row{lines: lines, name: "↪ " + target.name, number: target.reference()}
	}
	name := printable(t.nameOf(to))
	if name == "" {
		name = "span " + to.span.String()
	}
	return row{lines: lines, name: "↪ " + name, notes: gap + "trace " + to.trace.String()}
}

// reference returns what other rows refer to that of n by.
func (n *node) reference() string {
	if n.number == 0 {
		return ""
	}
	return fmt.Sprintf(" [%d]", n.number)
}
