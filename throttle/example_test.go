package throttle_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/throttle"
)

func Example() {
	users := pipeline.Must(pipeline.New("users", throttle.New(throttle.Config{})))

	overloaded := func(context.Context) (string, error) {
		return "", policy.WithClass(errors.New("too many requests"), policy.Throttled)
	}

	rejected := 0
	for range 1000 {
		_, err := pipeline.Run(context.Background(), users, "users.get", overloaded)
		if errors.Is(err, throttle.ErrOverloaded) {
			rejected++ // The server has never heard of it.
		}
	}
	fmt.Println("more than 9 of 10 calls were not even sent:", rejected > 900)
	// Output:
	// more than 9 of 10 calls were not even sent: true
}

// Not everything that fails does so for overload. Here only those errors count that
// say so.
func ExampleConfig_refused() {
	guard := throttle.New(throttle.Config{
		Refused: func(err error) bool { return policy.ClassOf(err) == policy.Throttled },
	})
	failed := func(context.Context, policy.Call) error { return errors.New("division by zero") }

	for range 1000 {
		_ = guard.Do(context.Background(), policy.Call{Key: "reports"}, failed)
	}
	fmt.Println(guard.Probability("reports"))
	// Output:
	// 0
}
