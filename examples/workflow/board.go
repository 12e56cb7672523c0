package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A board shows what happens, and when. Several may write to the same writer, as they write whole
// lines at a time.
type board struct {
	w     io.Writer
	began time.Time
}

func (b board) now() string { return b.at(time.Now()) }

func (b board) at(t time.Time) string { return fmt.Sprintf("%.2fs", t.Sub(b.began).Seconds()) }

// say shows what happens to an order.
func (b board) say(order, step, text string) {
	fmt.Fprintf(b.w, "%6s  %-8s  %-7s  %s\n", b.now(), order, step, text)
}

// headline shows what happens to all of them.
func (b board) headline(text string) { fmt.Fprintf(b.w, "%6s  -- %s --\n", b.now(), text) }

// table shows a table, the first row of which is its head.
func (b board) table(rows [][]any) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(w, "\t%v", cell)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a string
	lines := strings.FieldsFunc(text.String(), func(r rune) bool { return r == '\n' })
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	fmt.Fprintf(b.w, "\n%s\n\n", strings.Join(lines, "\n"))
}

// A lister is an engine that lists its runs. Temporal has a user interface for that.
type lister interface {
	Runs(ctx context.Context) iter.Seq2[workflow.Status, error]
}

// runs shows how all runs are getting on, if there are any, and the engine says so.
func (b board) runs(ctx context.Context, engine workflow.Engine, headline string) (shown bool, err error) {
	l, ok := engine.(lister)
	if !ok {
		return false, nil
	}
	rows := [][]any{{"run", "state", "step", "attempts", "next at", "why"}}
	for r, err := range l.Runs(ctx) {
		if err != nil {
			return false, err
		}
		rows = append(rows, []any{
			r.ID, r.State, r.Step, unless(r.Attempts == 0, r.Attempts), unless(r.Next.IsZero(), b.at(r.Next)), unless(r.Err == nil, r.Err),
		})
	}
	if len(rows) == 1 {
		return false, nil
	}
	b.headline(headline)
	b.table(rows)
	return true, nil
}

// unless returns what is shown of value, which is nothing if it is of no interest.
func unless(ignored bool, value any) any {
	if ignored {
		return ""
	}
	return value
}
