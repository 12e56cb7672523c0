package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// crowd is how many requests come at once when something happens, besides those that
// come all the time. Some of them meet a token being replaced.
const crowd = 5

// results counts how requests to the frontend ended.
type results struct{ good, bad atomic.Int64 }

func (r *results) String() string {
	return fmt.Sprintf("%d requests, of which %d succeeded.", r.good.Load()+r.bad.Load(), r.good.Load())
}

// play sends requests to the frontend while the script goes on, until the time is over
// or ctx ends.
func (s *shop) play(ctx context.Context, w io.Writer, c config) (*results, error) {
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(c.duration))
	defer cancel()
	t := newTraffic(s.frontend.url)
	defer t.close()
	requests := time.NewTicker(time.Second / time.Duration(c.rps))
	defer requests.Stop()
	next := 0
	scenes := time.NewTimer(0)
	defer scenes.Stop()
	for {
		select {
		case <-ctx.Done():
			return &t.results, nil
		case <-requests.C:
			t.send(1)
		case <-scenes.C:
			scene := sceneOf(next)
			fmt.Fprintf(w, "%5.1fs  %s\n", scene.at.Seconds(), scene.title)
			if err := scene.happen(s); err != nil {
				return &t.results, err
			}
			t.send(crowd)
			next++
			if at := sceneOf(next).at; at < c.duration {
				scenes.Reset(time.Until(began.Add(at)))
			}
		}
	}
}

// A traffic is requests to the frontend.
type traffic struct {
	results

	url    string
	client *http.Client
	sent   int
	calls  sync.WaitGroup
}

func newTraffic(url string) *traffic {
	return &traffic{url: url, client: &http.Client{Transport: new(http.Transport)}}
}

// send sends n requests, without waiting for the answers.
func (t *traffic) send(n int) {
	for range n {
		t.sent++
		url := fmt.Sprintf("%s/orders/%d", t.url, t.sent)
		t.calls.Go(func() {
			if t.get(url) {
				t.good.Add(1)
			} else {
				t.bad.Add(1)
			}
		})
	}
}

// get sends a request, whose answer it waits for even if the time is over meanwhile, and
// reports whether it went well.
func (t *traffic) get(url string) bool {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := t.client.Do(req)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}

// close waits for the answers.
func (t *traffic) close() {
	t.calls.Wait()
	t.client.CloseIdleConnections()
}
