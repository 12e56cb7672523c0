package local_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/timeout"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// trace returns the spans of a run with a step that fails once, and one in whose
// middle the engine is closed, so that it is resumed; and of a run that fails, as its step
// and its flow panic.
func trace(t *testing.T) []sdktrace.ReadOnlySpan {
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	synctest.Test(t, func(t *testing.T) {
		p := pipeline.Must(pipeline.New("stock", timeout.New(timeout.Config{Limit: 24 * time.Hour}))).WithTracerProvider(tp).WithSpans(pipeline.PipelineSpans)
		carried := make(map[string]int)
		through := func(name string, do func(ctx context.Context, attempt int) error) step {
			return workflow.NewStep(name, p, func(ctx context.Context, n int) (int, error) {
				carried[name]++
				return n, do(ctx, carried[name])
			})
		}
		reserve := through("reserve", func(_ context.Context, attempt int) error {
			if attempt == 1 {
				return errDown
			}
			return nil
		})
		charge := through("charge", func(ctx context.Context, attempt int) error {
			if attempt == 1 {
				return blocks(ctx)
			}
			return nil
		})
		flow, store := sequence("place-order", &reserve, &charge), local.NewMemory(time.Hour)
		breaks := workflow.NewStep("breaks", nil, func(context.Context, int) (int, error) { panic("broken") })
		broken := workflow.NewFlow("broken", func(r workflow.Run, n int) (int, error) {
			_, _ = breaks.Do(r, n)
			panic("broken, too")
		}, breaks)
		config := local.Config{TracerProvider: tp}

		ctx, caller := tp.Tracer("").Start(t.Context(), "POST /orders")
		first := open(t, store, config, flow, broken)
		go func() { _, _ = flow.Run(ctx, first, "17", 1) }()
		time.Sleep(time.Hour)
		first.Close()
		caller.End()

		second := open(t, store, config, flow, broken)
		ctx, start := tp.Tracer("").Start(t.Context(), "the start")
		if err := second.Resume(ctx); err != nil {
			t.Error(err)
		}
		start.End()
		synctest.Wait()
		_, _ = flow.Run(ctx, second, "17", 1)
		_, _ = broken.Run(t.Context(), second, "18", 1)
	})
	if started, ended := len(spans.Started()), len(spans.Ended()); started != ended {
		t.Errorf("%d spans started and %d ended", started, ended)
	}
	return spans.Ended()
}

func TestTrace(t *testing.T) {
	spans := trace(t)
	slices.SortStableFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	const want = `POST /orders
  flow place-order flow=place-order id=17 resumed=false
    step reserve ✗ attempt=1 flow=place-order id=17 ordinal=1 step=reserve
      reserve ✗
    step reserve attempt=2 flow=place-order id=17 ordinal=1 step=reserve
      reserve
    step charge attempt=1 flow=place-order id=17 ordinal=2 step=charge
      charge
the start
flow place-order flow=place-order id=17 resumed=true ↪ flow place-order
  step charge attempt=1 flow=place-order id=17 ordinal=2 step=charge
    charge
flow broken ✗ flow=broken id=18 resumed=false
  step breaks ✗ attempt=1 flow=broken id=18 ordinal=1 step=breaks
`
	var got strings.Builder
	for _, span := range spans {
		if !span.Parent().IsValid() {
			outline(&got, spans, span, "")
		}
	}
	if got.String() != want {
		t.Errorf("the trace is\n%swant\n%s", &got, want)
	}
}

func outline(text *strings.Builder, spans []sdktrace.ReadOnlySpan, span sdktrace.ReadOnlySpan, indent string) {
	fmt.Fprintf(text, "%s%s", indent, span.Name())
	if span.Status().Code == codes.Error {
		text.WriteString(" ✗")
	}
	attrs := attribute.NewSet(span.Attributes()...)
	for _, kv := range attrs.ToSlice() {
		if name, ok := strings.CutPrefix(string(kv.Key), "evenkeel.workflow."); ok {
			fmt.Fprintf(text, " %s=%s", name, kv.Value.String())
		}
	}
	for _, link := range span.Links() {
		for _, other := range spans {
			if other.SpanContext().SpanID() == link.SpanContext.SpanID() && other.SpanContext().TraceID() == link.SpanContext.TraceID() {
				text.WriteString(" ↪ " + other.Name())
			}
		}
	}
	text.WriteString("\n")
	for _, child := range spans {
		if child.Parent().SpanID() == span.SpanContext().SpanID() {
			outline(text, spans, child, indent+"  ")
		}
	}
}

func TestSpansTellWhereAPanicWas(t *testing.T) {
	for _, span := range trace(t) {
		set := attribute.NewSet(span.Attributes()...)
		stack, ok := set.Value("code.stacktrace")
		want := span.Name() == "flow broken" || span.Name() == "step breaks"
		if ok != want || want && !strings.Contains(stack.AsString(), "telemetry_test.go") {
			t.Errorf("span %s has stack %v, want one from this file: %v", span.Name(), stack.AsString(), want)
		}
	}
}

// docs/telemetry.md tells all that there is, and there is all that it tells.
func TestTelemetryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Workflows\n")
	if !ok {
		t.Fatal("the document has no section about workflows")
	}
	told, found := make(map[string]bool), make(map[string]bool)
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|")
	for _, cells := range row.FindAllStringSubmatch(section, -1) {
		if name, kind := cells[1], cells[2]; kind == "INTERNAL" {
			told[name] = true
		} else {
			for on := range strings.SplitSeq(cells[3], ", ") {
				told[fmt.Sprintf("%s %s on %s", name, kind, on)] = true
			}
		}
	}
	kinds := map[attribute.Type]string{attribute.STRING: "string", attribute.INT64: "int", attribute.BOOL: "boolean"}
	for _, span := range trace(t) {
		group, name, ok := strings.Cut(span.Name(), " ")
		if !ok || name == "/orders" || name == "start" {
			continue
		}
		found[fmt.Sprintf("%s {%s}", group, group)] = true
		for _, kv := range span.Attributes() {
			found[fmt.Sprintf("%s %s on %s", kv.Key, kinds[kv.Value.Type()], group)] = true
		}
	}
	if !maps.Equal(told, found) {
		t.Errorf("the document tells of\n%q, there is\n%q", slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(found)))
	}
}
