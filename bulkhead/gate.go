package bulkhead

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A gate lets a number of calls pass at a time. It takes no lock unless it is
// full.
//
// A call waits only while all slots are taken. As long as one does, the load
// changes with the lock held, and a slot that is given back goes to the first one.
type gate struct {
	load atomic.Uint64 // a load

	mu    sync.Mutex
	queue list.List // of *waiter, in the order in which they came
	pace  pace
}

// A load is how many calls hold a slot, and times oneWaits how many wait for one.
type load uint64

const (
	oneWaits load = 1 << 32
	gone     load = 1<<64 - 1 // of a gate that was forgotten
)

func (l load) running() int { return int(l % oneWaits) }
func (l load) waiting() int { return int(l / oneWaits) }

// A waiter is a call that waits.
type waiter struct {
	served chan struct{} // closed when it has got a slot
	ahead  int           // how many waited when it came
	place  *list.Element
}

// wait waits until w has got a slot, or returns the reason why no longer.
func (w *waiter) wait(ctx context.Context, maxWait time.Duration) reason {
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.served:
		return ""
	case <-timer.C:
		return reasonMaxWait
	case <-ctx.Done():
		return reasonDeadline
	}
}

func (g *gate) now() load { return load(g.load.Load()) }

func (g *gate) change(from, to load) bool {
	return g.load.CompareAndSwap(uint64(from), uint64(to))
}

// enter takes a slot if one is free, and returns the load that decided.
func (g *gate) enter(slots int) (l load, ok bool) {
	for {
		l = g.now()
		if l.running() >= slots { // as it is if the gate is gone
			return l, false
		}
		if g.change(l, l+1) {
			return l, true
		}
	}
}

// leave gives a slot back.
func (g *gate) leave() {
	for {
		l := g.now()
		if l.waiting() > 0 {
			if g.handOver() {
				return
			}
		} else if g.change(l, l-1) {
			return
		}
	}
}

// handOver passes a slot on to who has waited longest, unless nobody does.
func (g *gate) handOver() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := g.queue.Front()
	if first == nil {
		return false
	}
	g.remove(first)
	g.pace.freed(time.Now())
	close(first.Value.(*waiter).served)
	return true
}

// join takes a place in the queue, or a slot if one is free by now, or returns
// the reason why not. It returns neither if the gate was forgotten.
func (g *gate) join(ctx context.Context, config *Config) (*waiter, reason) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := &waiter{served: make(chan struct{})}
	for {
		l, ok := g.enter(config.Slots)
		w.ahead = l.waiting()
		switch {
		case ok:
			close(w.served)
			return w, ""
		case l == gone:
			return nil, ""
		case w.ahead >= config.MaxQueue:
			return nil, reasonQueueFull
		case g.hopeless(ctx, w.ahead):
			return nil, reasonDeadline
		case g.change(l, l+oneWaits):
			w.place = g.queue.PushBack(w)
			return w, ""
		}
	}
}

// hopeless reports whether a call with so many ahead of it will not get a slot
// before its deadline.
func (g *gate) hopeless(ctx context.Context, ahead int) bool {
	if ahead == 0 {
		g.pace.begin(time.Now())
	}
	deadline, ok := ctx.Deadline()
	return ok && !g.pace.turn(ahead).Before(deadline)
}

// quit gives up the place of w, unless it has got a slot already.
func (g *gate) quit(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.served:
		return false
	default:
		g.remove(w.place)
		return true
	}
}

func (g *gate) remove(place *list.Element) {
	g.queue.Remove(place)
	g.load.Add(^uint64(oneWaits - 1)) // subtracts oneWaits
}

// forget has the gate let nobody pass any more, unless it is in use.
func (g *gate) forget() bool { return g.change(0, gone) }
