package memory_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
)

func Example() {
	reserve := workflow.NewStep("reserve", nil, func(_ context.Context, order string) (string, error) {
		return "a hold for " + order, nil
	})
	charge := workflow.NewStep("charge", nil, func(_ context.Context, hold string) (string, error) {
		return "", policy.WithClass(errors.New("card declined"), policy.Permanent)
	})
	release := workflow.NewStep("release", nil, func(_ context.Context, hold string) (bool, error) {
		fmt.Println("releasing", hold)
		return true, nil
	})
	place := workflow.NewFlow("place-order", func(r workflow.Run, order string) (string, error) {
		hold, err := reserve.Do(r, order)
		if err != nil {
			return "", err
		}
		receipt, err := charge.Do(r, hold)
		if workflow.IsPermanent(err) {
			_, undo := release.Do(r, hold)
			return "", errors.Join(err, undo)
		}
		return receipt, err
	}, reserve, charge, release)

	engine := memory.New(memory.Config{})
	defer engine.Close()
	if err := place.On(engine); err != nil {
		fmt.Println(err)
		return
	}
	for range 2 { // The second call returns what the first has come to.
		_, err := place.Run(context.Background(), engine, "17", "three apples")
		fmt.Println(err)
	}
	// Output:
	// releasing a hold for three apples
	// workflow: run "17" of "place-order": step "charge": card declined
	// workflow: run "17" of "place-order": step "charge": card declined
}
