// Package rolling counts events within a rolling window, without a lock.
package rolling

import (
	"math"
	"sync/atomic"
	"time"
)

// Slots is how many parts a window has, the current one not counted: what is older
// than the window is forgotten a part at a time.
const Slots = 10

// A Clock numbers the slots of windows of one length. Make one with [NewClock]. It
// is safe for concurrent use.
type Clock struct {
	start time.Time
	width time.Duration
}

// NewClock returns a clock for windows of the given length, in which slot 0 begins
// now. It takes windows of less than 10 ms to be of 10 ms.
func NewClock(window time.Duration) Clock {
	return Clock{time.Now(), max(window/Slots, time.Millisecond)}
}

// Slot returns the number of the current slot. It is negative if time was turned
// back, as testing/synctest does for a clock that was made outside of its bubble.
func (c *Clock) Slot() int64 { return int64(time.Since(c.start) / c.width) }

// A Counter counts events by slots. The zero Counter has counted none. It is safe
// for concurrent use.
type Counter [Slots + 1]atomic.Uint64 // the slot's number, and below it the count

// Inc counts an event in a slot, with one write to shared memory. What was counted
// in the slot's place for another one is forgotten.
func (c *Counter) Inc(slot int64) {
	element := c.element(slot)
	for {
		old := element.Load()
		if holds(old, slot) {
			if uint32(old) < math.MaxInt32 { // so that the count never runs into the number
				// If it has just become another slot's, that one counts an event too many.
				element.Add(1)
			}
			return
		}
		if element.CompareAndSwap(old, uint64(uint32(slot))<<32|1) {
			return
		}
	}
}

// Dec takes back an event that was counted in a slot, unless that is forgotten.
func (c *Counter) Dec(slot int64) {
	element := c.element(slot)
	for {
		old := element.Load()
		if !holds(old, slot) || uint32(old) == 0 || element.CompareAndSwap(old, old-1) {
			return
		}
	}
}

// Sum returns how many events there were in the window that ends with a slot.
func (c *Counter) Sum(slot int64) int {
	total := 0
	for past := range int64(len(c)) {
		if element := c.element(slot - past).Load(); holds(element, slot-past) {
			total += int(uint32(element))
		}
	}
	return total
}

// Clear forgets all events.
func (c *Counter) Clear() {
	for i := range c {
		c[i].Store(0)
	}
}

// element returns the place of a slot, whose number may be negative.
func (c *Counter) element(slot int64) *atomic.Uint64 {
	n := int64(len(c))
	return &c[(slot%n+n)%n]
}

// holds reports whether element is the one of slot. Numbers are compared by 32
// bits, so an old count could be taken for a new one after 49 days of the shortest
// slots, and after centuries of usual ones.
func holds(element uint64, slot int64) bool { return uint32(element>>32) == uint32(slot) }
