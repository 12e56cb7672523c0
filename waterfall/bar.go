package waterfall

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// An axis maps the time that a trace took to columns.
type axis struct {
	start  time.Time
	length time.Duration
	width  int
}

func newAxis(roots []*node, width int) axis {
	start, end := roots[0].start, roots[0].start
	for _, root := range roots {
		root.walk(func(n *node) {
			if n.start.Before(start) {
				start = n.start // before that of its parent
			}
			for _, t := range []time.Time{n.start, n.end} {
				if end.Before(t) {
					end = t
				}
			}
		})
	}
	return axis{start, max(end.Sub(start), 1), width}
}

// halves returns how many half columns lie before t.
func (a axis) halves(t time.Time) int {
	return int(float64(t.Sub(a.start))/float64(a.length)*float64(2*a.width) + 0.5)
}

// bar returns the bar of n, at least half a column long, with the space before it.
func (a axis) bar(n *node, pen pen) string {
	from := min(a.halves(n.start), 2*a.width-1)
	to := 2 * a.width
	right, full, left, paint := "╶", "─", "╴", pen.dim
	switch {
	case n.unfinished():
		full = "┄"
	case len(n.children) == 0:
		right, full, left, paint = "╺", "━", "╸", pen.plain
	}
	if !n.unfinished() {
		to = max(a.halves(n.end), from+1)
	}
	switch {
	case n.failed:
		paint = pen.red
	case n.kind == trace.SpanKindClient:
		paint = pen.cyan
	}
	bar := strings.Repeat(right, from%2) + strings.Repeat(full, to/2-(from+1)/2) + strings.Repeat(left, to%2)
	return strings.Repeat(" ", from/2) + paint(bar)
}

// A pen writes in colors if it is true.
type pen bool

func (p pen) plain(s string) string { return s }
func (p pen) dim(s string) string   { return p.color("2", s) }
func (p pen) red(s string) string   { return p.color("31", s) }
func (p pen) cyan(s string) string  { return p.color("36", s) }

func (p pen) color(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
