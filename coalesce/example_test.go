package coalesce_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func Example() {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		time.Sleep(200 * time.Millisecond)
		_, _ = io.WriteString(w, "1.08")
	}))
	defer server.Close()

	p := pipeline.Must(pipeline.New("rates", coalesce.New(coalesce.Config{})))
	client := &http.Client{Transport: p.Transport(nil)}

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			response, err := client.Get(server.URL + "/EUR/USD")
			if err != nil {
				fmt.Println(err)
				return
			}
			defer response.Body.Close()
			rate, err := io.ReadAll(response.Body)
			fmt.Println(string(rate), err)
		})
	}
	all.Wait()
	fmt.Println(requests.Load(), "request")
	// Output:
	// 1.08 <nil>
	// 1.08 <nil>
	// 1.08 <nil>
	// 1 request
}

// What is identical among functions is known to whoever calls them. Here it is said by
// the calls' keys.
func ExampleConfig_key() {
	p := pipeline.Must(pipeline.New("users", coalesce.New(coalesce.Config{
		Key: func(_ context.Context, call policy.Call) string { return call.Key },
	})))
	var queries atomic.Int64
	find := func(context.Context, policy.Call) (string, error) {
		queries.Add(1)
		time.Sleep(200 * time.Millisecond)
		return "gopher", nil
	}

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			fmt.Println(pipeline.RunCall(context.Background(), p, policy.Call{Name: "users.get", Key: "42"}, find))
		})
	}
	all.Wait()
	fmt.Println(queries.Load(), "query")
	// Output:
	// gopher <nil>
	// gopher <nil>
	// gopher <nil>
	// 1 query
}
