// Custom shows a policy of one's own, in ten lines. It takes part in everything
// that the others do: it has a span in the trace, and what it says shows there
// and reaches the observers.
//
//	go run ./examples/custom
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/waterfall"
)

// slow returns a policy that tells of calls that take longer than limit.
func slow(limit time.Duration) policy.Policy {
	return policy.New("slow", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		start := time.Now()
		err := next(ctx, call)
		if took := time.Since(start); took > limit {
			call.Emit(ctx, "slow.noticed", slog.Duration("took", took))
		}
		return err
	})
}

// An outage is an error that says how it is to be called in traces.
type outage string

func (o outage) Error() string     { return string(o) }
func (o outage) ErrorType() string { return "outage" }

func main() {
	tracing := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(waterfall.New(os.Stdout, waterfall.Config{})))
	p := pipeline.Must(pipeline.New("reports", slow(50*time.Millisecond), retry.New(retry.Config{}))).
		WithTracerProvider(tracing).
		WithObserver(func(_ context.Context, event policy.Event) {
			fmt.Println(event.Call.Name, event.Policy, event.Name, event.Attrs)
		})

	attempts := 0
	pages, err := pipeline.Run(context.Background(), p, "reports.render", func(context.Context) (int, error) {
		if attempts++; attempts == 1 {
			time.Sleep(60 * time.Millisecond)
			return 0, outage("out of paper")
		}
		return 7, nil
	})
	fmt.Println(pages, "pages, error:", err)
}
