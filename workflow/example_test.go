package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
)

func Example() {
	stock := pipeline.Must(pipeline.New("stock", retry.New(retry.Config{InitialInterval: time.Millisecond})))

	attempts := 0
	reserve := workflow.NewStep("reserve", stock, func(ctx context.Context, order string) (string, error) {
		attempts++
		fmt.Printf("attempt %d of %s\n", attempts, workflow.Key(ctx))
		if attempts == 1 {
			return "", errors.New("connection reset") // The pipeline tries again.
		}
		return "hold of " + order, nil
	})
	ship := workflow.NewStep("ship", nil, func(ctx context.Context, hold string) (string, error) {
		fmt.Println("attempt 1 of", workflow.Key(ctx))
		return "parcel from " + hold, nil
	})
	place := workflow.NewFlow("place-order", func(r workflow.Run, order string) (string, error) {
		hold, err := reserve.Do(r, order)
		if err != nil {
			return "", err
		}
		if err := r.Sleep(time.Millisecond); err != nil { // It may as well be a week.
			return "", err
		}
		return ship.Do(r, hold)
	}, reserve, ship)

	engine := memory.New(memory.Config{}) // or journal.Open, or temporal.New
	defer engine.Close()
	if err := place.On(engine); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(place.Run(context.Background(), engine, "17", "apples"))
	fmt.Println(place.Run(context.Background(), engine, "17", "apples"))
	fmt.Println(place.Run(context.Background(), engine, "17", "pears"))
	// Output:
	// attempt 1 of place-order/17/1
	// attempt 2 of place-order/17/1
	// attempt 1 of place-order/17/3
	// parcel from hold of apples <nil>
	// parcel from hold of apples <nil>
	//  workflow: run "17" of "place-order": workflow: the id belongs to a run with another input
}
