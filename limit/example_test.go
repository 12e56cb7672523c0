package limit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

func Example() {
	reports := pipeline.Must(pipeline.New("reports", limit.New(limit.Config{Initial: 2})))

	// Each report waits for the next one, so that they are in flight at the same time.
	render := func(number int, next func() error) error {
		_, err := pipeline.Run(context.Background(), reports, "reports.render", func(context.Context) (string, error) {
			fmt.Println("report", number)
			return "", next()
		})
		return err
	}
	err := render(1, func() error {
		return render(2, func() error {
			return render(3, func() error { return nil })
		})
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, limit.ErrExceeded))
	// Output:
	// report 1
	// report 2
	// limit: exceeded: 2 calls may be in flight
	// true
}
