package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

func Example() {
	charge := workflow.NewStep("charge", nil, func(_ context.Context, order string) (string, error) {
		fmt.Println("charging for", order)
		return "a receipt for " + order, nil
	})
	place := workflow.NewFlow("place-order", charge.Do, charge)

	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for range 2 { // The second time is after a restart.
		engine, err := journal.Open(filepath.Join(dir, "orders.db"), journal.Config{})
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := place.On(engine); err != nil {
			fmt.Println(err)
			return
		}
		if err := engine.Resume(context.Background()); err != nil {
			fmt.Println(err)
		}
		fmt.Println(place.Run(context.Background(), engine, "17", "three apples"))
		for run, err := range engine.Runs(context.Background()) {
			fmt.Println(run.Flow, run.ID, run.State, err)
		}
		if err := engine.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// charging for three apples
	// a receipt for three apples <nil>
	// place-order 17 succeeded <nil>
	// a receipt for three apples <nil>
	// place-order 17 succeeded <nil>
}
