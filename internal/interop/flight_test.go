package interop_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestAuth01ColdCache(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		crowdOf(t, w.loggedIn(t), many, "/").must(t)
		w.wantRequests(t, 1)
		crowdOf(t, w.client(t, w.clientCredentials()), some, "/").must(t)
		w.wantRequests(t, 2)
	})
}

func TestAuth15RevokedToken(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		c.must(t)
		storm, late := crowdOf(t, c, many, "/storm"), crowdOf(t, c, some, "/late")
		wait(t, w.storm.full)
		wait(t, w.late.full)
		w.revoke(t, w.api.last())

		close(w.storm.open) // all have brought the token that is revoked now
		storm.must(t)
		w.wantRequests(t, 2)
		if got := w.api.refused.Load(); got != many {
			t.Errorf("API refused %d calls, want all %d once", got, many)
		}

		close(w.late.open) // these are refused after the token has been replaced
		late.must(t)
		w.wantRequests(t, 2)
	})
}

func TestAuth04LeaderLeaves(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		answered, goOn := make(chan struct{}), make(chan struct{})
		w.wire.failAfter(func() error {
			close(answered)
			<-goOn
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := c.get(ctx, "/")
			left <- err
		}()
		wait(t, answered) // the refresh token is spent, and its successor not here yet
		followers := crowdOf(t, c, some, "/")
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("get() = %v, want %v", err, context.Canceled)
		}
		close(goOn)
		followers.must(t)
		w.wantRequests(t, 1)

		w.revoke(t, w.api.last())
		c.must(t)
		w.wantRequests(t, 2)
	})
}

// A crowd is many calls at a time.
type crowd struct {
	calls  sync.WaitGroup
	errors chan error
}

// crowdOf makes n calls.
func crowdOf(t *testing.T, c *client, n int, path string) *crowd {
	t.Helper()
	all := &crowd{errors: make(chan error, n)}
	for range n {
		all.calls.Go(func() {
			if _, err := c.get(t.Context(), path); err != nil {
				all.errors <- err
			}
		})
	}
	return all
}

// must waits for the calls, which must all go well.
func (c *crowd) must(t *testing.T) {
	t.Helper()
	c.calls.Wait()
	if n := len(c.errors); n > 0 {
		t.Fatalf("%d of %d calls failed, one with %v", n, cap(c.errors), <-c.errors)
	}
}

func wait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("waited for 30 s")
	}
}
