package waterfall

import "strings"

const (
	minBar = 10   // columns
	gap    = "  " // between columns
)

// A style is how a tree is drawn, and whether there are bars.
type style struct {
	fork, pass, last, none string
	bars                   bool
}

// styles are for ever narrower terminals.
var styles = []style{
	{"├─ ", "│  ", "└─ ", "   ", true},
	{"├ ", "│ ", "└ ", "  ", true},
	{"├ ", "│ ", "└ ", "  ", false},
}

// columns are the widths of the columns.
type columns struct{ label, took, bar int }

// layOut makes the rows of a trace, and returns the columns to write them in. All
// names are written out if there is a style that has the room.
func (t *text) layOut(roots []*node) (c columns) {
	for _, style := range styles {
		t.rows = t.rows[:0]
		for _, root := range roots {
			t.add(root, nil, style, "", "")
		}
		names, labels, took := t.measure()
		room := t.config.columns() - len(gap) - took
		c = columns{label: min(labels, room), took: took}
		if style.bars {
			c.label = min(labels, room-len(gap)-minBar)
			c.bar = room - len(gap) - c.label
		}
		if names <= c.label {
			break
		}
	}
	return c
}

// measure returns the widths of the widest name with what is never cut, of the
// widest label, and of the widest time.
func (t *text) measure() (names, labels, took int) {
	for _, r := range t.rows {
		if r.span != nil {
			names = max(names, width(r.label()))
			labels = max(labels, width(r.label()+r.notes))
			took = max(took, width(r.span.took()))
		}
	}
	return names, labels, took
}

// line returns the line of r.
func (t *text) line(r row, c columns, axis axis) string {
	if r.span == nil {
		label, _ := t.label(r, t.config.columns())
		return label
	}
	label, n := t.label(r, c.label)
	took := r.span.took()
	line := label + strings.Repeat(" ", max(0, c.label-n)) + gap + strings.Repeat(" ", c.took-width(took)) + took
	if c.bar > 0 {
		line += gap + axis.bar(r.span, t.pen)
	}
	return line
}

// label returns the label of r, and how many columns it takes. What does not fit
// is cut, the notes before the name, and mark and number not at all.
func (t *text) label(r row, room int) (label string, taken int) {
	fixed := width(r.mark + r.number)
	lines := cut(r.lines, room-fixed-min(width(r.name), room/2))
	name := cut(r.name, room-fixed-width(lines))
	notes := cut(r.notes, room-fixed-width(lines+name))
	paint := t.pen.plain
	if r.span == nil {
		paint = t.pen.dim
	}
	label = t.pen.dim(lines) + paint(name) + t.pen.red(r.mark) + t.pen.dim(r.number+notes)
	return label, fixed + width(lines+name+notes)
}
