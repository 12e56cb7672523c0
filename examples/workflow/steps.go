package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// Each service has a client, whose requests pass through a pipeline.
var (
	stock    = newClient("stock")
	payments = newClient("payments")
	shipping = newClient("shipping")
)

func newClient(service string) *http.Client {
	p := pipeline.Must(pipeline.New(service,
		timeout.New(timeout.Config{Name: "total", Limit: 1500 * time.Millisecond}),
		retry.New(retry.Config{MaxAttempts: 3, InitialInterval: 50 * time.Millisecond}),
		breaker.New(breaker.Config{}),
		timeout.New(timeout.Config{Name: "attempt", Limit: 500 * time.Millisecond}),
	))
	p = p.WithSpans(pipeline.PipelineSpans) // and none for each policy, as the trace of a flow is long
	return &http.Client{Transport: p.Transport(network)}
}

func reserve(ctx context.Context, o Order) (Hold, error) {
	return post(ctx, stock, "http://stock/reserve", Hold{Order: o})
}

func release(ctx context.Context, h Hold) (Hold, error) {
	return post(ctx, stock, "http://stock/release", h)
}

func charge(ctx context.Context, h Hold) (Payment, error) {
	return post(ctx, payments, "http://payments/charge", Payment{Order: h.Order})
}

func refund(ctx context.Context, p Payment) (Payment, error) {
	return post(ctx, payments, "http://payments/refund", p)
}

func ship(ctx context.Context, h Hold) (Parcel, error) {
	return post(ctx, shipping, "http://shipping/ship", Parcel{Order: h.Order})
}

// post sends a slip, and returns it as the service has filled it in. The client adds the step's key as
// the Idempotency-Key. From the error the engine learns whether to try again, and when.
func post[Slip any](ctx context.Context, client *http.Client, url string, slip Slip) (filled Slip, err error) {
	body, err := json.Marshal(slip)
	if err != nil {
		return filled, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return filled, err
	}
	response, err := client.Do(req)
	if err != nil {
		return filled, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return filled, pipeline.NewStatusError(response)
	}
	err = json.NewDecoder(response.Body).Decode(&filled)
	return filled, err
}
