package ratelimit

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A bucket holds the tokens of a key, and the calls that wait for one.
//
// Only the first of those has a reservation. It is the limiter's last then, and
// thus can be canceled for all it is worth: the limiter gives nothing back for one
// that others came after. When the first one has left, the next one's turn begins.
type bucket struct {
	mu      sync.Mutex
	limiter *rate.Limiter
	queue   list.List // of *waiter, in the order in which they came
	gone    bool      // whether it was forgotten
}

// A waiter is a call that waits.
type waiter struct {
	place *list.Element

	first       chan struct{} // closed when it is
	reservation *rate.Reservation
	due         time.Time // when there will be a token for it
}

// wait waits for the turn of w, and reports whether it came.
func (w *waiter) wait(ctx context.Context) bool {
	select {
	case <-w.first:
		return policy.Sleep(ctx, time.Until(w.due)) == nil
	case <-ctx.Done():
		return false
	}
}

func newBucket(config *Config) *bucket {
	return &bucket{limiter: rate.NewLimiter(rate.Limit(config.Rate), config.Burst)}
}

// take takes a token, or a place in the queue if there will be one in time. It
// returns how long that takes, and who waits. It fails if the bucket was forgotten.
func (b *bucket) take(ctx context.Context, maxWait time.Duration) (w *waiter, delay time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.gone:
		return nil, 0, false
	case b.queue.Len() == 0 && b.limiter.AllowN(now, 1):
		return nil, 0, true
	}
	delay = b.delay(now)
	if deadline, ok := ctx.Deadline(); delay > maxWait || ok && !now.Add(delay).Before(deadline) {
		return nil, delay, true
	}
	w = &waiter{first: make(chan struct{})}
	w.place = b.queue.PushBack(w)
	if b.queue.Len() == 1 {
		b.callFirst(now)
	}
	return w, delay, true
}

// delay returns how long it takes until there is a token for one more call, at
// least 1 ns.
func (b *bucket) delay(now time.Time) time.Duration {
	unreserved := max(0, b.queue.Len()-1)
	missing := float64(unreserved) + 1 - b.limiter.TokensAt(now)
	seconds := missing / float64(b.limiter.Limit())
	return time.Duration(min(max(1, seconds*float64(time.Second)), longest))
}

// longest is a duration in nanoseconds that is as good as for ever.
const longest = 1 << 62

// callFirst begins the turn of who is the first in the queue, if anyone is.
func (b *bucket) callFirst(now time.Time) {
	front := b.queue.Front()
	if front == nil {
		return
	}
	w := front.Value.(*waiter)
	w.reservation = b.limiter.ReserveN(now, 1)
	w.due = now.Add(w.reservation.DelayFrom(now))
	close(w.first)
}

// leave takes w out of the queue, with its token or without.
func (b *bucket) leave(w *waiter, took bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	isFirst := w.reservation != nil
	if isFirst && !took {
		b.giveBack(w, now)
	}
	b.queue.Remove(w.place)
	if isFirst {
		b.callFirst(now)
	}
}

// giveBack cancels the reservation of w. The limiter keeps the token of one that
// was due before that, as if it had been used, so that is never said.
func (b *bucket) giveBack(w *waiter, now time.Time) {
	if w.due.Before(now) {
		now = w.due
	}
	w.reservation.CancelAt(now)
}

// forget has the bucket give no more tokens if it is like a new one, and reports
// whether it is.
func (b *bucket) forget() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = b.gone || b.queue.Len() == 0 && b.limiter.TokensAt(time.Now()) >= float64(b.limiter.Burst())
	return b.gone
}

// waiting returns how many calls wait.
func (b *bucket) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Len()
}
