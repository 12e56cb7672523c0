package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func Example() {
	p, err := pipeline.New("users",
		timeout.New(timeout.Config{Limit: 10 * time.Second}),
		retry.New(retry.Config{InitialInterval: time.Millisecond}),
		breaker.New(breaker.Config{}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p)

	attempts := 0
	user, err := pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		if attempts++; attempts == 1 {
			return "", errors.New("connection lost")
		}
		return "gopher", nil
	})
	fmt.Println(user, err)
	// Output:
	// users: timeout → retry → breaker
	// gopher <nil>
}

func ExampleNew_mistakes() {
	_, err := pipeline.New("users",
		retry.New(retry.Config{MaxAttempts: -1}),
		timeout.New(timeout.Config{Name: "attempt", Limit: -time.Second}),
	)
	fmt.Println(err)
	// Output:
	// pipeline "users": policy 1 "retry": invalid MaxAttempts -1: want at least 1
	// pipeline "users": policy 2 "attempt": invalid Limit -1s: want 1ms to 720h0m0s
}

func ExampleRunCall() {
	p := pipeline.Must(pipeline.New("inventory", retry.New(retry.Config{InitialInterval: time.Millisecond})))

	call := policy.Call{Name: "items.find", Key: "inventory-db"}
	found, err := pipeline.RunCall(context.Background(), p, call, func(_ context.Context, call policy.Call) (string, error) {
		if call.Attempt == 1 {
			return "", errors.New("deadlock")
		}
		return fmt.Sprintf("found at attempt %d", call.Attempt), nil
	})
	fmt.Println(found, err)
	// Output: found at attempt 2 <nil>
}

func ExamplePipeline_Transport() {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "gopher")
	}))
	defer server.Close()

	p := pipeline.Must(pipeline.New("users", retry.New(retry.Config{InitialInterval: time.Millisecond})))
	client := &http.Client{Transport: p.Transport(nil)}
	defer client.CloseIdleConnections()

	ctx := pipeline.WithCallName(context.Background(), "users.get") // names its span
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	response, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.Status, string(body), err)
	// Output: 200 OK gopher <nil>
}

func ExamplePipeline_Do() {
	p := pipeline.Must(pipeline.New("mail", retry.New(retry.Config{InitialInterval: time.Millisecond})))

	err := p.Do(context.Background(), policy.Call{Name: "mail.send", Once: true}, func(context.Context, policy.Call) error {
		return errors.New("no answer") // it may have been sent, so it is not sent again
	})
	fmt.Println(err)
	// Output: retry: not repeated after 1 attempt, which may have taken effect: no answer
}

func ExamplePipeline_WithObserver() {
	p := pipeline.Must(pipeline.New("users", retry.New(retry.Config{MaxAttempts: 2, Jitter: retry.NoJitter}))).
		WithObserver(func(_ context.Context, event policy.Event) {
			fmt.Println(event.Call.Name, event.Name, event.Attrs)
		})

	_, _ = pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		return "", io.ErrUnexpectedEOF
	})
	// Output:
	// users.get retry.scheduled [delay=100ms delay.source=backoff reason=eof next_attempt=2]
	// users.get retry.exhausted [attempts=2 reason=attempts]
}

func ExampleSlogObserver() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime}))
	p := pipeline.Must(pipeline.New("users", retry.New(retry.Config{MaxAttempts: 2, Jitter: retry.NoJitter}), breaker.New(breaker.Config{ConsecutiveFailures: 2}))).
		WithObserver(pipeline.SlogObserver(logger))

	_, _ = pipeline.Run(context.Background(), p, "users.get", func(context.Context) (string, error) {
		return "", io.ErrUnexpectedEOF
	})
	// Output:
	// level=DEBUG msg=retry.scheduled pipeline=users policy=retry call=users.get attempt=1 delay=100ms delay.source=backoff reason=eof next_attempt=2
	// level=WARN msg=breaker.opened pipeline=users policy=breaker call=users.get attempt=2 state=closed new_state=open transition.reason=consecutive_failures open_for=5s
	// level=DEBUG msg=retry.exhausted pipeline=users policy=retry call=users.get attempt=2 attempts=2 reason=attempts
}

// withoutTime drops the time from a log.
func withoutTime(_ []string, attr slog.Attr) slog.Attr {
	if attr.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return attr
}
