package waterfall_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

func ExampleNew() {
	tp := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(waterfall.New(os.Stdout, waterfall.Config{Width: 60})),
	)
	checkout(tp)
	// Output:
	// checkout                    75ms  ──────────────────────────
	// ├─ reserve                  25ms  ━━━━━━━━╸
	// └─ charge ✗  card declined  50ms          ╺━━━━━━━━━━━━━━━━━
}

func ExampleFormat() {
	spans := tracetest.NewSpanRecorder()
	checkout(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	fmt.Print(waterfall.Format(spans.Ended(), waterfall.Config{Width: 60, Attributes: []attribute.Key{"shop.items"}}))
	// Output:
	// checkout                    75ms  ──────────────────────────
	// ├─ reserve  items=3         25ms  ━━━━━━━━╸
	// └─ charge ✗  card declined  50ms          ╺━━━━━━━━━━━━━━━━━
}

func ExampleOutline() {
	spans := tracetest.NewSpanRecorder()
	checkout(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	fmt.Print(waterfall.Outline(spans.Ended()))
	// Output:
	// checkout
	//   reserve
	//   charge ✗
}

func ExampleLog() {
	var t *testing.T           // of the test
	checkout(waterfall.Log(t)) // go test shows the trace if the test fails, and always with -v
}

// checkout makes the spans of an order whose payment failed.
func checkout(tp trace.TracerProvider) {
	at := func(ms int) trace.SpanEventOption {
		return trace.WithTimestamp(time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond))
	}
	tracer := tp.Tracer("shop")
	ctx, root := tracer.Start(context.Background(), "checkout", at(0))
	_, reserve := tracer.Start(ctx, "reserve", at(0), trace.WithAttributes(attribute.Int("shop.items", 3)))
	reserve.End(at(25))
	_, charge := tracer.Start(ctx, "charge", at(25))
	charge.SetStatus(codes.Error, "card declined")
	charge.End(at(75))
	root.End(at(75))
}
