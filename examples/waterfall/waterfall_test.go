package waterfall_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/examples/waterfall"
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
	if got, want := names(out.String()), "after"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
	}
}

func TestProcessorShutdownPrintsTheRest(t *testing.T) {
	var out strings.Builder
	p := waterfall.New(&out, waterfall.Config{})
	tracer := newRecorder(sdktrace.WithSpanProcessor(p)).tracer

	ctx, _ := tracer.Start(t.Context(), "root")
	_, child := tracer.Start(ctx, "child")
	child.End()
	tracer.Start(t.Context(), "other root")
	if err := p.ForceFlush(t.Context()); err != nil || out.Len() > 0 {
		t.Errorf("ForceFlush() = %v and printed %q, want nil and nothing", err, &out)
	}
	if err := p.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown() = %v, want nil", err)
	}
	if got, want := names(out.String()), "child"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
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

func TestProcessorDropsTheOldestTraces(t *testing.T) {
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
	_, third := tracer.Start(t.Context(), "third")
	first.End()
	second.End()
	third.End()
	if got, want := names(out.String()), "second third"; got != want {
		t.Errorf("printed spans %q, want %q", got, want)
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

func TestProcessorLinksToEarlierTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		r := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(&out, waterfall.Config{Width: 40})))
		r.run(t.Context(), step{name: "refresh", took: ms})
		r.run(t.Context(), step{name: "wait", link: "refresh", took: ms, steps: []step{{name: "child", took: ms}}})
		want := "" +
			"refresh  1ms  " + strings.Repeat("━", 26) + "\n\n" +
			"wait      2ms  ─────────────────────────\n" +
			"→ link to refresh\n" +
			"└─ child  1ms  ━━━━━━━━━━━━╸\n\n"
		if got := out.String(); got != want {
			t.Errorf("printed\n%s\nwant\n%s", got, want)
		}
	})
}

// names returns the names of the spans in a printed waterfall.
func names(printed string) string {
	var names []string
	for line := range strings.Lines(printed) {
		if fields := strings.Fields(strings.TrimLeft(line, " │├└─")); len(fields) > 0 {
			names = append(names, fields[0])
		}
	}
	return strings.Join(names, " ")
}
