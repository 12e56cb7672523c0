package hedge_test

import (
	"context"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func Example() {
	p := pipeline.Must(pipeline.New("users", hedge.New(hedge.Config{Delay: 10 * time.Millisecond})))

	replicas := []string{"berlin", "lisbon"}
	user, err := pipeline.RunCall(context.Background(), p, policy.Call{Name: "users.get"},
		func(ctx context.Context, call policy.Call) (string, error) {
			if call.Hedge == 0 {
				<-ctx.Done() // the first replica hangs
				return "", context.Cause(ctx)
			}
			return "gopher, says " + replicas[call.Hedge], nil
		})
	fmt.Println(user, err)
	// Output: gopher, says lisbon <nil>
}

// One budget bounds what retries and hedges send in excess. The delay is what 95 %
// of the calls take at most, as far as the policy has seen.
func Example_budget() {
	budget := retry.NewBudget(retry.BudgetConfig{Ratio: 0.1})
	p, err := pipeline.New("users",
		retry.New(retry.Config{Budget: budget}),
		hedge.New(hedge.Config{Budget: budget}),
	)
	fmt.Println(p, err)
	// Output: users: retry → hedge <nil>
}

// An operation that does not heed its context holds up the call until it has ended.
// Where it is safe to leave it behind, a function around it can.
func Example_leaving() {
	p := pipeline.Must(pipeline.New("disks", hedge.New(hedge.Config{Delay: time.Millisecond})))

	stuck := make(chan struct{})
	defer close(stuck)
	read := func(call policy.Call) string {
		if call.Hedge == 0 {
			<-stuck // and nothing can be done about it
		}
		return "data"
	}

	data, err := pipeline.RunCall(context.Background(), p, policy.Call{Name: "disks.read"},
		func(ctx context.Context, call policy.Call) (string, error) {
			done := make(chan string, 1)
			go func() { done <- read(call) }()
			select {
			case data := <-done:
				return data, nil
			case <-ctx.Done():
				return "", context.Cause(ctx)
			}
		})
	fmt.Println(data, err)
	// Output: data <nil>
}
