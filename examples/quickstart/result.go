package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A result is how a request ended.
type result struct {
	status string
	took   time.Duration
	err    error
}

// get sends a request for an order.
func get(ctx context.Context, client *http.Client, order string) result {
	start := time.Now()
	status, err := send(pipeline.WithCallName(ctx, "GetOrder"), client, order)
	return result{status, time.Since(start), err}
}

func send(ctx context.Context, client *http.Client, order string) (status string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, order, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // which URL it was, the reader knows
		}
		return "", err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.Status, err
}

func (r result) succeeded() bool { return r.err == nil && r.status == "200 OK" }

func (r result) String() string {
	took := r.took.Round(time.Millisecond)
	if took == 0 {
		took = r.took.Round(time.Microsecond)
	}
	if r.err != nil {
		return fmt.Sprintf("%v after %v", r.err, took)
	}
	return fmt.Sprintf("%s after %v", r.status, took)
}

// A counter counts what happens.
type counter struct {
	mu                          sync.Mutex // guards all fields
	requests, good, unexpected  int
	retries, refreshes, changes int
}

// observe counts the decisions of policies.
func (c *counter) observe(_ context.Context, event policy.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch event.Name {
	case "retry.scheduled":
		c.retries++
	case "auth.refreshed":
		c.refreshes++
	case "breaker.opened", "breaker.half_opened", "breaker.closed":
		c.changes++
	}
}

// add counts a request.
func (c *counter) add(r result, s scene) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	if r.succeeded() {
		c.good++
	}
	if r.succeeded() == s.fails {
		c.unexpected++
	}
}

// report prints the summary. It returns an error if anything went otherwise than
// it should.
func (c *counter) report(w io.Writer, sends, tokenRequests int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		what  string
		count int
		note  string
	}{
		{"requests", c.requests, fmt.Sprintf("%d succeeded, %d failed as they should", c.good, c.requests-c.good-c.unexpected)},
		{"sends", sends, "seen by the API"},
		{"retries", c.retries, "scheduled"},
		{"token refreshes", c.refreshes, fmt.Sprintf("%d requests at the token endpoint", tokenRequests)},
		{"circuit changes", c.changes, "between closed, open and half-open"},
	} {
		fmt.Fprintf(table, "%s\t%d\t%s\n", row.what, row.count, row.note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if c.unexpected > 0 {
		return errors.New("requests ended otherwise than they should: " + fmt.Sprint(c.unexpected))
	}
	return nil
}
