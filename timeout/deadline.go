package timeout

import (
	"context"
	"sync/atomic"
	"time"
)

// A deadline is a context that ends with its parent, or at the given time, as one of
// [context.WithDeadline] does. Most calls end long before, so it has no timer
// until somebody asks for Done: it would cost more than all the rest.
type deadline struct {
	context.Context // the parent
	at              time.Time
	timed           atomic.Pointer[timed] // nil until it is needed
}

// A timed context is a standard one, with a timer.
type timed struct {
	context.Context
	cancel context.CancelFunc
}

// ended is for deadlines that nobody has asked for Done in time.
var ended = func() *timed {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return &timed{ctx, cancel}
}()

func withDeadline(parent context.Context, at time.Time) (context.Context, context.CancelFunc) {
	d := &deadline{Context: parent, at: at}
	return d, d.end
}

func (d *deadline) Deadline() (time.Time, bool) { return d.at, true }

func (d *deadline) Done() <-chan struct{} { return d.standard().Done() }

func (d *deadline) Err() error {
	if t := d.timed.Load(); t != nil {
		return t.Err()
	}
	if d.Context.Err() == nil && time.Now().Before(d.at) {
		return nil
	}
	return d.standard().Err() // which stays the same
}

// Value has contexts that are derived from d hang on the standard one, which tells
// them of its end without a goroutine.
func (d *deadline) Value(key any) any {
	if t := d.timed.Load(); t != nil {
		if value := t.Value(key); value != nil {
			return value
		}
	}
	return d.Context.Value(key) // which ended does not know
}

// standard returns the standard context that d now is.
func (d *deadline) standard() *timed {
	if t := d.timed.Load(); t != nil {
		return t
	}
	ctx, cancel := context.WithDeadline(d.Context, d.at)
	t := &timed{ctx, cancel}
	if !d.timed.CompareAndSwap(nil, t) {
		cancel()
		return d.timed.Load()
	}
	return t
}

// end cancels d.
func (d *deadline) end() {
	if !d.timed.CompareAndSwap(nil, ended) {
		d.timed.Load().cancel()
	}
}
