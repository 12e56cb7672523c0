package fallback_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func Example() {
	p := pipeline.Must(pipeline.New("greetings",
		fallback.New(fallback.Config{To: fallback.Value("Hello!")}),
	))

	greeting, err := pipeline.Run(context.Background(), p, "greetings.get", func(context.Context) (string, error) {
		return "", errors.New("connection reset")
	})
	fmt.Println(greeting, err)
	// Output: Hello! <nil>
}

// A function may have an answer to the failures of some calls, and return those of
// the others.
func ExampleFunc() {
	known := map[string]float64{"EUR/USD": 1.08}
	lastKnown := func(_ context.Context, call policy.Call, err error) (float64, error) {
		rate, ok := known[call.Key]
		if !ok {
			return 0, err
		}
		return rate, nil
	}
	p := pipeline.Must(pipeline.New("rates", fallback.New(fallback.Config{To: fallback.Func(lastKnown)})))

	for _, pair := range []string{"EUR/USD", "EUR/XAU"} {
		fmt.Println(pipeline.RunCall(context.Background(), p, policy.Call{Name: "rates.get", Key: pair},
			func(context.Context, policy.Call) (float64, error) { return 0, errors.New("connection reset") }))
	}
	// Output:
	// 1.08 <nil>
	// 0 connection reset
}

func ExampleResponse() {
	p := pipeline.Must(pipeline.New("news", fallback.New(fallback.Config{
		To: fallback.Response(http.StatusOK, "application/json", `{"headlines": []}`),
	})))
	client := &http.Client{Transport: p.Transport(nil)}

	response, err := client.Get("http://127.0.0.1:1/headlines") // where nobody listens
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body))
	// Output: 200 OK {"headlines": []}
}

// The error that was replaced can be told from the event, as from the trace.
func Example_events() {
	p := pipeline.Must(pipeline.New("greetings",
		fallback.New(fallback.Config{To: fallback.Value("Hello!")}),
	)).WithObserver(func(_ context.Context, event policy.Event) {
		fmt.Println(event.Name, event.Attrs)
	})

	_, _ = pipeline.Run(context.Background(), p, "greetings.get", func(context.Context) (string, error) {
		return "", context.DeadlineExceeded
	})
	// Output: fallback.used [reason=timeout]
}
