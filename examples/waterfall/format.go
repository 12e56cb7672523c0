package waterfall

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

const (
	minBar = 10   // columns
	gap    = "  " // between columns
)

// Format returns the spans of one trace as text: a line for each span with its
// place in the tree, its name, a ✗ if its status is Error, what else is worth
// knowing, how long it took, and a bar that shows when. The bars of spans that
// have no spans below them are heavy: they show where the time went. A link to a
// span that is among spans has a line of its own.
func Format(spans []sdktrace.ReadOnlySpan, config Config) string {
	names := make(map[trace.SpanID]string, len(spans))
	for _, span := range spans {
		names[span.SpanContext().SpanID()] = span.Name()
	}
	return format(spans, config, names)
}

func format(spans []sdktrace.ReadOnlySpan, config Config, names map[trace.SpanID]string) string {
	var rows []row
	for _, root := range forest(spans) {
		rows = append(rows, root.rows(names, "", "")...)
	}
	var label, took int
	for _, r := range rows {
		if r.span != nil {
			label = max(label, width(r.lines+r.name+r.mark+r.notes))
			took = max(took, width(r.took))
		}
	}
	all := max(cmp.Or(config.Width, 100), 40)
	room := all - took - 2*len(gap)
	label = min(label, room-minBar)

	var b strings.Builder
	pen, axis := pen(config.Color), newAxis(spans, room-label)
	for _, r := range rows {
		if r.span != nil {
			b.WriteString(r.format(label, took, axis, pen) + "\n")
		} else {
			b.WriteString(pen.dim(cut(r.lines+r.notes, all)) + "\n")
		}
	}
	return b.String()
}

// A row is a line of the output: a span, or something said about the span above.
type row struct {
	lines, name, mark, notes, took string

	span *node // nil in a row about the span above
}

// rows returns the rows of n and of the spans below it. First and rest are the
// lines of the tree before n itself and before what follows.
func (n *node) rows(names map[trace.SpanID]string, first, rest string) []row {
	rows := []row{{first, printable(n.Name()), n.mark(), n.notes(), n.took(), n}}
	for _, link := range n.Links() {
		if name, ok := names[link.SpanContext.SpanID()]; ok {
			rows = append(rows, row{lines: rest, notes: "→ link to " + printable(name)})
		}
	}
	for i, child := range n.children {
		if i < len(n.children)-1 {
			rows = append(rows, child.rows(names, rest+"├─ ", rest+"│  ")...)
		} else {
			rows = append(rows, child.rows(names, rest+"└─ ", rest+"   ")...)
		}
	}
	return rows
}

// notes returns what is worth knowing about n besides its name.
func (n *node) notes() string {
	attrs := make(map[attribute.Key]string)
	for _, a := range n.Attributes() {
		attrs[a.Key] = printable(a.Value.String())
	}
	var notes []string
	if n.SpanKind() > trace.SpanKindInternal {
		notes = append(notes, strings.ToUpper(n.SpanKind().String()))
	}
	status := attrs["http.response.status_code"]
	if status != "" {
		notes = append(notes, status)
	}
	if name := attrs["evenkeel.policy.name"]; name != "" {
		notes = append(notes, name)
	}
	if strings.HasSuffix(n.Name(), ": aborted") {
		notes = append(notes, attrs["evenkeel.retry.reason"])
	}
	if reason := attrs["evenkeel.circuit_breaker.transition.reason"]; reason != "" {
		notes = append(notes, reason)
	}
	if failure := attrs["error.type"]; failure != "" && failure != status && !strings.HasPrefix(n.Name(), failure) {
		notes = append(notes, failure)
	}
	if resend := attrs["http.request.resend_count"]; resend != "" {
		notes = append(notes, "resend="+resend)
	}
	if len(notes) == 0 {
		return ""
	}
	return gap + strings.Join(notes, " ")
}

// took returns how long n took, with three significant digits.
func (n *node) took() string {
	d, unit := n.EndTime().Sub(n.StartTime()), time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}

// format lays r out in columns. What does not fit into the label is cut, the notes
// before the name, and the mark not at all.
func (r row) format(label, took int, axis axis, pen pen) string {
	lines := cut(r.lines, label-width(r.mark)-min(width(r.name), label/2))
	name := cut(r.name, label-width(lines+r.mark))
	notes := cut(r.notes, label-width(lines+name+r.mark))
	text := pen.dim(lines) + name + pen.red(r.mark) + pen.dim(notes)
	label -= width(lines + name + r.mark + notes)
	took -= width(r.took)
	text += strings.Repeat(" ", label) + gap + strings.Repeat(" ", took) + r.took
	return text + gap + axis.bar(r.span, pen)
}

func width(s string) int { return utf8.RuneCountInString(s) }

// cut shortens s to n columns.
func cut(s string, n int) string {
	switch {
	case width(s) <= n:
		return s
	case n <= 0:
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}
