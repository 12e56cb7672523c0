package timeout_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func Example() {
	p := pipeline.Must(pipeline.New("reports", timeout.New(timeout.Config{Limit: 10 * time.Millisecond})))

	_, err := pipeline.Run(context.Background(), p, "reports.render", func(ctx context.Context) (string, error) {
		<-ctx.Done() // takes too long
		return "", ctx.Err()
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, timeout.ErrExceeded))
	// Output:
	// timeout: limit exceeded: 10ms
	// true
}
