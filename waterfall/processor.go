package waterfall

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// maxSpans is how many spans a [Processor] keeps, and how many names at least.
const maxSpans = 10_000

// A Processor is a [sdktrace.SpanProcessor] that prints every trace as soon as
// all of its spans have ended. It is safe for concurrent use, and traces that run
// at the same time are printed one after the other. Make one with [New].
type Processor struct {
	w      io.Writer
	config Config

	mu      sync.Mutex // guards the fields below, and w
	stopped bool
	traces  map[trace.TraceID]*pending
	order   []*pending         // traces, the oldest first
	spans   int                // in traces
	names   map[spanKey]string // of spans that are not open any more
	older   map[spanKey]string // what names was until it was full
}

var _ sdktrace.SpanProcessor = (*Processor)(nil)

// A pending trace has spans that have not ended.
type pending struct {
	id    trace.TraceID
	spans []sdktrace.ReadOnlySpan // in the order in which they started
	open  map[trace.SpanID]int    // where in spans they are
}

// New returns a processor that prints to w, each trace as [Format] does with an
// empty line after it. A link to a span of another trace shows its name, if it
// is open or one of the last 10,000, and the identifier of the trace. Errors of w go to
// the error handler of OpenTelemetry.
//
// Spans that are not sampled are left out. A span that starts after its trace was
// printed is printed as a trace of its own. When more than 10,000 spans wait to be
// printed, because some of their traces do not end, the oldest trace is printed as
// it is. What is open of it is shown as unfinished, and not printed again.
func New(w io.Writer, config Config) *Processor {
	return &Processor{
		w:      w,
		config: config,
		traces: make(map[trace.TraceID]*pending),
		names:  make(map[spanKey]string),
	}
}

// OnStart implements [sdktrace.SpanProcessor].
func (p *Processor) OnStart(_ context.Context, span sdktrace.ReadWriteSpan) {
	sc := span.SpanContext()
	if !sc.IsSampled() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	t := p.traces[sc.TraceID()]
	if t == nil {
		t = &pending{id: sc.TraceID(), open: make(map[trace.SpanID]int)}
		p.traces[t.id] = t
		p.order = append(p.order, t)
	}
	t.open[sc.SpanID()] = len(t.spans)
	t.spans = append(t.spans, span)
	if p.spans++; p.spans > maxSpans {
		p.print(p.order[0])
	}
}

// OnEnd implements [sdktrace.SpanProcessor].
func (p *Processor) OnEnd(span sdktrace.ReadOnlySpan) {
	sc := span.SpanContext()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.traces[sc.TraceID()]
	if t == nil {
		return // not sampled, or printed already
	}
	i, ok := t.open[sc.SpanID()]
	if !ok {
		return
	}
	delete(t.open, sc.SpanID())
	t.spans[i] = span
	p.remember(span)
	if len(t.open) == 0 {
		p.print(t)
	}
}

// ForceFlush implements [sdktrace.SpanProcessor]. It does nothing: traces that have
// ended are printed already, and the others had better be printed whole.
func (p *Processor) ForceFlush(context.Context) error { return nil }

// Shutdown implements [sdktrace.SpanProcessor]. It prints the traces that have not
// ended, with their open spans shown as unfinished. Nothing is printed after that.
func (p *Processor) Shutdown(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for len(p.order) > 0 {
		p.print(p.order[0])
	}
	return nil
}

// print prints t and forgets it.
func (p *Processor) print(t *pending) {
	delete(p.traces, t.id)
	p.order = slices.DeleteFunc(p.order, func(other *pending) bool { return other == t })
	p.spans -= len(t.spans)
	for _, i := range t.open {
		p.remember(t.spans[i])
	}
	if _, err := io.WriteString(p.w, format(t.spans, p.config.on(p.w), p.nameOf)+"\n"); err != nil {
		otel.Handle(err)
	}
}

// remember keeps the name of a span for the links of others.
func (p *Processor) remember(span sdktrace.ReadOnlySpan) {
	if len(p.names) >= maxSpans {
		p.names, p.older = make(map[spanKey]string), p.names
	}
	p.names[keyOf(span.SpanContext())] = span.Name()
}

// nameOf returns the name of a span, or "" if it is not known.
func (p *Processor) nameOf(key spanKey) string {
	if t := p.traces[key.trace]; t != nil {
		if i, ok := t.open[key.span]; ok {
			return t.spans[i].Name()
		}
	}
	return cmp.Or(p.names[key], p.older[key])
}
