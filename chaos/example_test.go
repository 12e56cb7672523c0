package chaos_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/evenkeel-go/evenkeel/chaos"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func Example() {
	unlucky := chaos.New(chaos.Config{
		Enabled: true,
		Seed:    1, // the same calls fail in each run
		Faults:  []chaos.Fault{{Rate: 0.3, Err: io.ErrUnexpectedEOF}},
	})
	p := pipeline.Must(pipeline.New("users", unlucky))

	for range 5 {
		fmt.Println(pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
			return "gopher", nil
		}))
	}
	// Output:
	// gopher <nil>
	// gopher <nil>
	// gopher <nil>
	//  chaos: injected: unexpected EOF
	// gopher <nil>
}

// To other policies and to the client, a status is one that a server sent.
func ExampleFault_status() {
	p := pipeline.Must(pipeline.New("users",
		retry.New(retry.Config{MaxAttempts: 3, InitialInterval: time.Millisecond}),
		chaos.New(chaos.Config{Enabled: true, Faults: []chaos.Fault{{Rate: 1, Status: 503}}}),
	)).WithObserver(func(_ context.Context, event policy.Event) {
		fmt.Println(event.Name)
	})

	response, err := (&http.Client{Transport: p.Transport(nil)}).Get("http://users.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status)
	// Output:
	// chaos.injected
	// retry.scheduled
	// chaos.injected
	// retry.scheduled
	// chaos.injected
	// retry.exhausted
	// 503 Service Unavailable
}

// An outcome takes the place of the operation's: here a result that no server
// should have sent.
func ExampleFault_outcome() {
	nobody := func(_ context.Context, call policy.Call) error { return call.Resolve("") }
	p := pipeline.Must(pipeline.New("users",
		chaos.New(chaos.Config{Enabled: true, Faults: []chaos.Fault{{Rate: 1, Outcome: nobody}}}),
	))

	user, err := pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		return "gopher", nil
	})
	fmt.Printf("%q %v\n", user, err)
	// Output: "" <nil>
}

// Faults are refused where nobody has allowed them.
func ExampleConfig_enabled() {
	_, err := pipeline.New("users", chaos.New(chaos.Config{
		Faults: []chaos.Fault{{Rate: 0.3, Latency: time.Second}},
	}))
	fmt.Println(err)
	// Output: pipeline "users": policy 1 "chaos": invalid Enabled false: want true where calls may be made to fail, or else no Faults
}
