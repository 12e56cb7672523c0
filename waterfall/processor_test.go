package waterfall_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

func TestProcessorPrintsWhenAllSpansHaveEnded(t *testing.T) {
	var out strings.Builder
	tracer := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{}))).tracer

	ctx, root := tracer.Start(t.Context(), "root")
	_, early := tracer.Start(ctx, "early")
	_, late := tracer.Start(ctx, "late")
	early.End()
	root.End()
	if out.Len() > 0 {
		t.Errorf("a span is open, and yet was printed:\n%s", &out)
	}
	late.End()
	if got, want := names(out.String()), "root early late"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
	}

	out.Reset()
	_, after := tracer.Start(ctx, "after")
	after.End()
	if got, want := names(out.String()), "after ↑root"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
	}
}

func TestProcessorShutdownPrintsTheRest(t *testing.T) {
	var out strings.Builder
	p := waterfall.New(&out, waterfall.Config{})
	tracer := newRecorder(sdktrace.WithSpanProcessor(p)).tracer

	ctx, root := tracer.Start(t.Context(), "root")
	_, child := tracer.Start(ctx, "child")
	child.End()
	tracer.Start(t.Context(), "other")
	if err := p.ForceFlush(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("ForceFlush() = %v and printed %q, want nil and nothing", err, &out)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v, want nil", err)
	}
	root.End()
	_, late := tracer.Start(ctx, "late")
	late.End()
	if got, want := names(out.String()), "root child other"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
	}
	if got := strings.Count(out.String(), "unfinished"); got != 2 {
		t.Errorf("%d spans are shown as unfinished, want 2:\n%s", got, &out)
	}
}

func TestProcessorLeavesOutUnsampledSpans(t *testing.T) {
	var out strings.Builder
	r := newRecorder(
		sdktrace.WithSampler(recordOnly{}),
		sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{})),
	)
	_, span := r.tracer.Start(t.Context(), "x")
	span.End()
	if len(r.Ended()) != 1 || out.Len() > 0 {
		t.Errorf("%d spans were recorded and %q printed, want 1 and nothing", len(r.Ended()), &out)
	}
}

type recordOnly struct{}

func (recordOnly) Description() string { return "recordOnly" }

func (recordOnly) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordOnly}
}

func TestProcessorDoesNotWaitForever(t *testing.T) {
	var out strings.Builder
	tracer := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{})),
	).Tracer("waterfall_test")

	oldest, first := tracer.Start(t.Context(), "first")
	_, second := tracer.Start(t.Context(), "second")
	for range 9_998 {
		_, span := tracer.Start(oldest, "child")
		span.End()
	}
	if out.Len() > 0 {
		t.Errorf("printed\n%s\nwant nothing as long as there are not more than 10,000 spans", &out)
	}
	_, third := tracer.Start(t.Context(), "third")
	if got, want := names(out.String()), "first"+strings.Repeat(" child", 9_998); got != want {
		t.Errorf("printed spans %.100q…, want %.100q…", got, want)
	}
	out.Reset()
	first.End()
	second.End()
	third.End()
	_, child := tracer.Start(oldest, "child")
	child.End()
	if got, want := names(out.String()), "second third child ↑first"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
	}

	out.Reset()
	tracer.Start(t.Context(), "fourth")
	if out.Len() > 0 {
		t.Errorf("printed\n%s\nwant nothing now that the others do not wait any more", &out)
	}
}

func TestProcessorConcurrently(t *testing.T) {
	var out strings.Builder
	tracer := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{}))).tracer

	const callers, calls = 8, 50
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls {
				ctx, root := tracer.Start(t.Context(), "root")
				var children sync.WaitGroup
				for range 3 {
					children.Go(func() {
						_, child := tracer.Start(ctx, "child")
						child.End()
					})
				}
				children.Wait()
				root.End()
			}
		})
	}
	wg.Wait()
	want := strings.Repeat("root child child child ", callers*calls)
	if got := names(out.String()) + " "; got != want {
		t.Errorf("printed spans %q, want %d whole traces", got, callers*calls)
	}
}

func TestProcessorReportsFailedWrites(t *testing.T) {
	var got error
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { got = err }))
	t.Cleanup(func() { otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) })

	tracer := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(broken{}, waterfall.Config{}))).tracer
	_, span := tracer.Start(t.Context(), "x")
	span.End()
	if !errors.Is(got, errBroken) {
		t.Errorf("reported error %v, want %v", got, errBroken)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// A link may lead to a span that has ended long ago, that is open, or that nobody knows.
func TestProcessorGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{Width: 80, TraceIDs: true})))
		r.run(t.Context(), recovered)
		r.run(t.Context(), rejected)
		ctx, root := r.tracer.Start(t.Context(), "GetOrder")
		_, r.seen["auth"] = r.tracer.Start(ctx, "auth")
		r.run(t.Context(), proactive)
		r.seen["auth"].End()
		root.End()
		golden(t, "processor", out.String())
	})
}

// names returns the first words of the spans in a printed waterfall, and of what they
// say of their parents.
func names(printed string) string {
	var names []string
	for line := range strings.Lines(printed) {
		line = strings.ReplaceAll(strings.TrimLeft(line, " │├└─"), "↑ ", "↑")
		if fields := strings.Fields(line); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return strings.Join(names, " ")
}
