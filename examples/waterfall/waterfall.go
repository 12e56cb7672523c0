// Package waterfall prints traces to a terminal, each as a tree of spans with a
// bar for each of them, so that one can see what a program did, and when,
// without any tracing backend:
//
//	tp := sdktrace.NewTracerProvider(
//		sdktrace.WithSpanProcessor(waterfall.New(os.Stderr, waterfall.Config{})),
//	)
//
// It is made for programs under development, for demonstrations and, with
// [Outline], for tests. It is not made for production: spans are printed while
// the program waits.
package waterfall

import (
	"context"
	"io"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSpans is how many spans a [Processor] keeps, and how many names for links.
const maxSpans = 10_000

// Config configures a [Processor] and [Format]. The zero Config is ready to use.
type Config struct {
	// Width is how many columns the output may take, at least 40. Default: 100.
	Width int

	// Color says that the output may have ANSI colors. Whether it may, the caller
	// knows: if it goes to a terminal and NO_COLOR is not set. Default: no colors.
	Color bool
}

// A Processor is a [sdktrace.SpanProcessor] that prints every trace as soon as
// all of its spans have ended. It is safe for concurrent use. Make one with [New].
type Processor struct {
	w      io.Writer
	config Config

	mu     sync.Mutex // guards the fields below, and w
	traces []*pending // oldest first
	spans  int        // in traces
	names  map[trace.SpanID]string
}

var _ sdktrace.SpanProcessor = (*Processor)(nil)

// A pending trace has spans that have not ended.
type pending struct {
	id    trace.TraceID
	open  map[trace.SpanID]bool
	ended []sdktrace.ReadOnlySpan
}

// New returns a processor that prints to w, as [Format] does, with an empty line
// after each trace, and with links to spans of earlier traces. Spans that are not
// sampled are left out. While more than 10,000 spans wait to be printed, because
// the roots of their traces do not end, the oldest traces are dropped.
func New(w io.Writer, config Config) *Processor {
	return &Processor{w: w, config: config, names: make(map[trace.SpanID]string)}
}

// OnStart implements [sdktrace.SpanProcessor].
func (p *Processor) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	sc := span.SpanContext()
	if !sc.IsSampled() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.pending(sc.TraceID())
	if t == nil {
		t = &pending{id: sc.TraceID(), open: make(map[trace.SpanID]bool)}
		p.traces = append(p.traces, t)
	}
	t.open[sc.SpanID()] = true
	if p.spans++; p.spans > maxSpans {
		p.remove(p.traces[0])
	}
}

// OnEnd implements [sdktrace.SpanProcessor].
func (p *Processor) OnEnd(span sdktrace.ReadOnlySpan) {
	sc := span.SpanContext()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.pending(sc.TraceID())
	if t == nil || !t.open[sc.SpanID()] {
		return // not sampled, or dropped
	}
	delete(t.open, sc.SpanID())
	t.ended = append(t.ended, span)
	if len(p.names) >= maxSpans {
		clear(p.names)
	}
	p.names[sc.SpanID()] = span.Name()
	if len(t.open) == 0 {
		p.print(t)
	}
}

// ForceFlush implements [sdktrace.SpanProcessor]. It does nothing, for nothing is
// held back that could be printed.
func (p *Processor) ForceFlush(context.Context) error { return nil }

// Shutdown implements [sdktrace.SpanProcessor]. It prints what has ended of the
// traces that still have open spans.
func (p *Processor) Shutdown(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.traces) > 0 {
		p.print(p.traces[0])
	}
	return nil
}

func (p *Processor) pending(id trace.TraceID) *pending {
	i := slices.IndexFunc(p.traces, func(t *pending) bool { return t.id == id })
	if i < 0 {
		return nil
	}
	return p.traces[i]
}

func (p *Processor) print(t *pending) {
	p.remove(t)
	if len(t.ended) == 0 {
		return
	}
	if _, err := io.WriteString(p.w, format(t.ended, p.config, p.names)+"\n"); err != nil {
		otel.Handle(err)
	}
}

func (p *Processor) remove(t *pending) {
	p.traces = slices.DeleteFunc(p.traces, func(other *pending) bool { return other == t })
	p.spans -= len(t.open) + len(t.ended)
}
