package main

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

// A board shows what the processes do, each in a column of its own.
type board struct {
	w     io.Writer
	began time.Time

	mu        sync.Mutex // guards w and the fields below
	refreshed int
	adopted   int
}

func newBoard(w io.Writer) *board {
	fmt.Fprintf(w, "Two processes share one login. Its access tokens live for %v,\nits refresh tokens are good for one use.\n\n", tokenLifetime)
	fmt.Fprintf(w, "       %-32s%s\n", "first process", "second process")
	return &board{w: w, began: time.Now()}
}

// show shows what a process has logged.
func (b *board) show(column int, l line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch l.Event {
	case "auth.refreshed":
		b.refreshed++
		l.Event = "refreshed"
	case "auth.adopted":
		b.adopted++
		l.Event = "adopted"
	}
	fmt.Fprintf(b.w, "%5.2fs %*s%s (%s)\n", l.Time.Sub(b.began).Seconds(), 32*column, "", l.Event, l.Why)
}

// say shows what the world does.
func (b *board) say(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fmt.Fprintf(b.w, "%5.2fs -- %s --\n", time.Since(b.began).Seconds(), text)
}

// report shows the summary. It returns an error if the processes did not share the login as they should.
func (b *board) report(provider *idp.Server) error {
	fmt.Fprintf(b.w, "\n%d token requests, %d tokens adopted, %d refresh tokens used twice, no request failed\n",
		provider.TokenRequests(), b.adopted, provider.Reuses())
	// The token that is revoked and the last one may find nobody to adopt them.
	if provider.Reuses() > 0 || provider.TokenRequests() != b.refreshed || b.adopted < b.refreshed-2 {
		return errors.New("want one token request for each token, and the other process to adopt it")
	}
	return nil
}
