// Package waterfall prints traces as text: a tree of spans, a bar for each that
// shows when it ran, and a red ✗ where it failed. One sees what a program did
// without any tracing backend.
//
// A program prints each trace as it ends:
//
//	tp := sdktrace.NewTracerProvider(
//		sdktrace.WithSpanProcessor(waterfall.New(os.Stderr, waterfall.Config{})),
//	)
//
// A test has the traces in its log, where they are read when it fails:
//
//	p = p.WithTracerProvider(waterfall.Log(t))
//
// and compares them with what it wants as an [Outline]. They may be anybody's traces;
// of the spans of evenkeel it knows which attributes tell most.
//
// It is not made for production: the program waits while a trace is printed.
package waterfall

import (
	"cmp"
	"io"
	"os"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/term"
)

const (
	defaultWidth = 100 // columns
	minWidth     = 20
)

// Config configures a [Processor] and [Format]. The zero Config is ready to use.
type Config struct {
	// Width is how many columns the output may take, at least 20. No line takes more:
	// attributes are cut instead, then bars are left out, then names are cut. Default:
	// the width of the terminal that is written to, or 100.
	Width int

	// Color says to use ANSI colors, whatever is written to. Default: only where
	// [Terminal] says so.
	Color bool

	// TraceIDs says to print the identifier of each trace above it, to look it up
	// elsewhere: in a tracing backend, in logs, or where another trace links to it.
	TraceIDs bool

	// Attributes are the keys of more attributes to show. Default: a few that tell
	// most, such as the status code of a response.
	Attributes []attribute.Key
}

// Terminal returns the configuration that suits f: if it is a terminal, its width,
// and colors unless the environment variable NO_COLOR is set, or TERM is dumb.
// COLUMNS, if it is set, overrules the width. [New] finds that out by itself; Terminal
// is for programs that hold back what they print to f later.
func Terminal(f *os.File) Config {
	var config Config
	if fd := int(f.Fd()); term.IsTerminal(fd) {
		config.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
		config.Width, _, _ = term.GetSize(fd)
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil {
		config.Width = n
	}
	return config
}

// on returns c with what it leaves open filled in for w.
func (c Config) on(w io.Writer) Config {
	if f, ok := w.(*os.File); ok {
		detected := Terminal(f)
		c.Width = cmp.Or(c.Width, detected.Width)
		c.Color = c.Color || detected.Color
	}
	return c
}

// columns returns how many columns there are.
func (c Config) columns() int { return max(cmp.Or(c.Width, defaultWidth), minWidth) }
