package temporal_test

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

type (
	order   struct{ ID string }
	receipt struct{ Number int }
)

var (
	payments = pipeline.Must(pipeline.New("payments",
		retry.New(retry.Config{MaxAttempts: 4}),
		breaker.New(breaker.Config{OpenFor: 30 * time.Second}),
	))
	charge = workflow.NewStep("charge", payments, chargeCard)
	place  = workflow.NewFlow("place-order", charge.Do, charge)
)

func chargeCard(context.Context, order) (receipt, error) { return receipt{Number: 1}, nil }

// The interceptor makes the spans of Temporal a part of the trace that ctx is in.
func Example() {
	ctx := context.Background()
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := client.Dial(client.Options{Interceptors: []interceptor.ClientInterceptor{tracing}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	engine := temporal.New(c, "orders", temporal.Config{})
	defer func() { _ = engine.Close() }()
	if err := place.On(engine); err != nil {
		fmt.Println(err)
		return
	}
	got, err := place.Run(ctx, engine, "17", order{ID: "17"})
	fmt.Println(got.Number, err)
}

func ExampleActivity() {
	c, err := client.Dial(client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	w := worker.New(c, "orders", worker.Options{})
	w.RegisterActivityWithOptions(temporal.Activity(payments, chargeCard), activity.RegisterOptions{Name: "charge"})
	if err := w.Run(worker.InterruptCh()); err != nil {
		fmt.Println(err)
	}
}
