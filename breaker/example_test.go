package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func Example() {
	users := pipeline.Must(pipeline.New("users",
		breaker.New(breaker.Config{ConsecutiveFailures: 3, OpenFor: 10 * time.Second}),
	))
	findUser := func(context.Context) (string, error) {
		return "", errors.New("connection reset")
	}

	for range 4 {
		_, err := pipeline.Run(context.Background(), users, "users.get", findUser)
		if errors.Is(err, breaker.ErrOpen) {
			fmt.Println("not even tried")
			continue
		}
		fmt.Println(err)
	}
	// Output:
	// connection reset
	// connection reset
	// connection reset
	// not even tried
}

// Each key has a circuit of its own. For HTTP the key is the origin.
func Example_keys() {
	guard := breaker.New(breaker.Config{ConsecutiveFailures: 1})
	call := func(key string, err error) error {
		return guard.Do(context.Background(), policy.Call{Name: "stock", Key: key},
			func(context.Context, policy.Call) error { return err })
	}

	_ = call("berlin", errors.New("no route to host"))
	fmt.Println("berlin:", guard.State("berlin"), errors.Is(call("berlin", nil), breaker.ErrOpen))
	fmt.Println("lisbon:", guard.State("lisbon"), call("lisbon", nil))
	// Output:
	// berlin: open true
	// lisbon: closed <nil>
}

// What a failure is can be said by a function, or by the class of an error.
func ExampleConfig_failure() {
	errNoRows := errors.New("no rows in result set")
	guard := breaker.New(breaker.Config{
		ConsecutiveFailures: 2,
		Failure:             func(err error) bool { return !errors.Is(err, errNoRows) },
	})

	for _, err := range []error{errNoRows, errNoRows, errNoRows, errors.New("bad connection"), errors.New("bad connection")} {
		_ = guard.Do(context.Background(), policy.Call{Key: "db"}, func(context.Context, policy.Call) error { return err })
		fmt.Println(err, "→", guard.State("db"))
	}
	// Output:
	// no rows in result set → closed
	// no rows in result set → closed
	// no rows in result set → closed
	// bad connection → closed
	// bad connection → open
}

// The error of a rejected call says when it is worth coming back.
func Example_retryAfter() {
	guard := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Minute})
	fail := func(context.Context, policy.Call) error { return errors.New("timeout") }

	_ = guard.Do(context.Background(), policy.Call{}, fail)
	err := guard.Do(context.Background(), policy.Call{}, fail)
	wait, ok := policy.RetryAfter(err)
	fmt.Println(errors.Is(err, policy.ErrRejected), ok, wait.Round(time.Second))
	// Output:
	// true true 1m0s
}

// During maintenance the circuit is opened by hand.
func ExamplePolicy_ForceOpen() {
	guard := breaker.New(breaker.Config{})
	call := policy.Call{Key: "billing"}
	succeed := func(context.Context, policy.Call) error { return nil }

	guard.ForceOpen("billing")
	fmt.Println(guard.Do(context.Background(), call, succeed))
	guard.Release("billing")
	fmt.Println(guard.Do(context.Background(), call, succeed))
	// Output:
	// breaker: circuit open for "billing": forced
	// <nil>
}

// An observer is told of every change and may ask for the state.
func Example_events() {
	guard := breaker.New(breaker.Config{ConsecutiveFailures: 1})
	p := pipeline.Must(pipeline.New("stock", guard)).
		WithObserver(func(_ context.Context, event policy.Event) {
			reason := slog.Attr{}
			for _, attr := range event.Attrs {
				if attr.Key == "transition.reason" {
					reason = attr
				}
			}
			fmt.Println(event.Name, reason, guard.State(event.Call.Key))
		})

	_ = p.Do(context.Background(), policy.Call{Name: "stock.get"}, func(context.Context, policy.Call) error {
		return errors.New("connection refused")
	})
	// Output:
	// breaker.opened transition.reason=consecutive_failures open
}
