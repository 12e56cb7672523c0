package workflow_test

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// A server notes what it is sent.
type server []string

func (s *server) RoundTrip(req *http.Request) (*http.Response, error) {
	*s = append(*s, req.URL.Path+" "+req.Header.Get("Idempotency-Key"))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestOnlyRequestsOfTheStepItselfCarryTheKey(t *testing.T) {
	sent := new(server)
	client := &http.Client{Transport: pipeline.Must(pipeline.New("http", retry.New(retry.Config{}))).Transport(sent)}
	post := func(ctx context.Context, path string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://orders.example"+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(req)
		if err != nil {
			return err
		}
		return response.Body.Close()
	}
	login := policy.New("login", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		if err := post(ctx, "/token"); err != nil {
			return err
		}
		return next(ctx, call)
	})
	charge := workflow.NewStep("charge", pipeline.Must(pipeline.New("payments", login)), func(ctx context.Context, n int) (int, error) {
		return n, post(ctx, "/charge")
	})
	flow := workflow.NewFlow("place-order", func(r workflow.Run, n int) (int, error) { return charge.Do(r, n) }, charge)
	engine := new(fake)
	if err := flow.On(engine); err != nil {
		t.Fatal(err)
	}
	if _, err := flow.Run(t.Context(), engine, "17", 1); err != nil {
		t.Fatal(err)
	}
	if want := (server{"/token ", "/charge place-order/17/1"}); !slices.Equal(*sent, want) {
		t.Errorf("server was sent %q, want %q", *sent, want)
	}
}
