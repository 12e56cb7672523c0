package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func Example() {
	p, err := pipeline.New("users", retry.New(retry.Config{
		MaxAttempts:     4,
		InitialInterval: 10 * time.Millisecond,
	}))
	if err != nil {
		fmt.Println(err)
		return
	}

	attempts := 0
	user, err := pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		if attempts++; attempts < 3 {
			return "", errors.New("connection lost")
		}
		return "gopher", nil
	})
	fmt.Println(user, err, "after", attempts, "attempts")
	// Output: gopher <nil> after 3 attempts
}

func ExampleError() {
	p := pipeline.Must(pipeline.New("users", retry.New(retry.Config{})))
	_, err := pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		return "", policy.WithClass(errors.New("no such user"), policy.Permanent)
	})
	if e, ok := errors.AsType[*retry.Error](err); ok {
		fmt.Println(e.Attempts, e.Reason, e.Err)
	}
	// Output: 1 class no such user
}
