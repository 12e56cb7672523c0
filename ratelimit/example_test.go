package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
)

func Example() {
	p := pipeline.Must(pipeline.New("geocoder", ratelimit.New(ratelimit.Config{Rate: 0.1, Burst: 2})))
	locate := func(context.Context) (string, error) { return "52.5° N, 13.4° E", nil }

	for range 3 {
		place, err := pipeline.Run(context.Background(), p, "geocoder.locate", locate)
		if errors.Is(err, ratelimit.ErrExceeded) {
			wait, _ := policy.RetryAfter(err)
			fmt.Println("come back in", wait.Round(time.Second))
			continue
		}
		fmt.Println(place, err)
	}
	// Output:
	// 52.5° N, 13.4° E <nil>
	// 52.5° N, 13.4° E <nil>
	// come back in 10s
}

// With a MaxWait, calls are slowed down instead.
func ExampleConfig_maxWait() {
	p := pipeline.Must(pipeline.New("geocoder", ratelimit.New(ratelimit.Config{Rate: 100, Burst: 1, MaxWait: time.Second})))
	locate := func(context.Context) (string, error) { return "52.5° N, 13.4° E", nil }

	start := time.Now()
	for range 3 {
		place, err := pipeline.Run(context.Background(), p, "geocoder.locate", locate)
		fmt.Println(place, err)
	}
	fmt.Println(time.Since(start) >= 20*time.Millisecond)
	// Output:
	// 52.5° N, 13.4° E <nil>
	// 52.5° N, 13.4° E <nil>
	// 52.5° N, 13.4° E <nil>
	// true
}
