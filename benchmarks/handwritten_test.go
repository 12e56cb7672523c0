package benchmarks_test

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/cenkalti/backoff/v4"
	"github.com/sony/gobreaker/v2"
)

// A handWrittenTransport is what a competent developer writes: a retry, a circuit breaker, and a
// timeout for each attempt.
type handWrittenTransport struct {
	base    http.RoundTripper
	circuit *gobreaker.CircuitBreaker[*http.Response]
}

var errStatus = errors.New("the server failed")

//nolint:bodyclose // A circuit is no response.
func newHandWrittenTransport(base http.RoundTripper) http.RoundTripper {
	return &handWrittenTransport{base, gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		Timeout:     openFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= failures },
	})}
}

func (t *handWrittenTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	var last *http.Response
	attempt := func() (*http.Response, error) {
		discard(last)
		last = nil
		response, err := t.circuit.Execute(func() (*http.Response, error) { return t.send(req) })
		if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
			err = backoff.Permanent(err)
		}
		last = response
		return response, err
	}
	response, err := backoff.RetryWithData(attempt, intervals(req.Context(), interval))
	if errors.Is(err, errStatus) && last != nil {
		return last, nil
	}
	return response, err
}

// send sends the request. A response that is a failure comes with an error.
func (t *handWrittenTransport) send(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), limit)
	req = req.Clone(ctx) // The caller's stays as it is, whatever the base does.
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			cancel()
			return nil, err
		}
		req.Body = body
	}
	response, err := t.base.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	response.Body = &cancelingBody{response.Body, cancel}
	if response.StatusCode >= 500 {
		return response, errStatus
	}
	return response, nil
}

// discard has the connection of a response be used again.
func discard(response *http.Response) {
	if response == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, response.Body, 1<<16)
	_ = response.Body.Close()
}

// A cancelingBody ends the context of a request when its response has been read.
type cancelingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
