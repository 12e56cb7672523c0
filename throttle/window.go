package throttle

import (
	"math"
	"sync/atomic"
	"time"
)

// slots is how many parts a window has, the current one not counted: what is older
// than the window is forgotten a part at a time.
const slots = 10

// A clock numbers the slots of all windows.
type clock struct {
	start time.Time
	width time.Duration
}

func newClock(window time.Duration) *clock {
	return &clock{time.Now(), max(window/slots, time.Microsecond)}
}

// slot returns the number of the current slot. It is negative if time was turned
// back, as testing/synctest does for a policy that was made outside of its bubble.
func (c *clock) slot() int64 { return int64(time.Since(c.start) / c.width) }

// A window counts the calls of a key. It is safe for concurrent use and takes no
// lock, and a call that is accepted makes one write to it.
type window struct {
	clock    *clock
	accepted ring
	others   ring         // the calls that were refused or rejected
	last     atomic.Int64 // the last slot of others
}

// never is a slot that has not been and will not be.
const never = math.MinInt64

func newWindow(clock *clock) *window {
	w := &window{clock: clock}
	w.last.Store(never)
	return w
}

// count counts a call.
func (w *window) count(v verdict) {
	switch v {
	case ignored:
	case accepted:
		w.accepted.count(w.clock.slot())
	case refused, rejected:
		now := w.clock.slot()
		w.others.count(now)
		if w.last.Load() != now {
			w.last.Store(now)
		}
	}
}

// counts returns how many calls there were, and how many of them were accepted.
func (w *window) counts() (requests, accepts int) {
	now := w.clock.slot()
	accepts = w.accepted.sum(now)
	return accepts + w.others.sum(now), accepts
}

// quiet reports whether all calls were accepted.
func (w *window) quiet() bool {
	last := w.last.Load()
	return last == never || w.clock.slot()-last > slots
}

// A ring counts calls in the slots of a rolling window.
type ring [slots + 1]atomic.Uint64 // the slot's number, and below it the count

// count counts a call in a slot. What the ring has counted in the slot's place for
// another one is forgotten.
func (r *ring) count(slot int64) {
	element := r.element(slot)
	for {
		old := element.Load()
		if holds(old, slot) {
			// If it has just become another slot's, that one counts a call too many.
			element.Add(1)
			return
		}
		if element.CompareAndSwap(old, uint64(uint32(slot))<<32|1) {
			return
		}
	}
}

// sum returns the count of the window that ends with slot.
func (r *ring) sum(slot int64) int {
	total := 0
	for past := range int64(len(r)) {
		if element := r.element(slot - past).Load(); holds(element, slot-past) {
			total += int(uint32(element))
		}
	}
	return total
}

// element returns the place of a slot, whose number may be negative.
func (r *ring) element(slot int64) *atomic.Uint64 {
	n := int64(len(r))
	return &r[(slot%n+n)%n]
}

// holds reports whether element is the one of slot. Numbers are compared by 32
// bits, so an old count could be taken for a new one after 49 days of the shortest
// slots, and after centuries of usual ones.
func holds(element uint64, slot int64) bool { return uint32(element>>32) == uint32(slot) }
