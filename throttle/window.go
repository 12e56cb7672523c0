package throttle

import (
	"math"
	"sync/atomic"

	"github.com/evenkeel-go/evenkeel/internal/rolling"
)

// A window counts the calls of a key. It is safe for concurrent use and takes no
// lock, and a call that is accepted makes one write to it.
type window struct {
	clock    *rolling.Clock
	accepted rolling.Counter
	others   rolling.Counter // the calls that were refused or rejected
	last     atomic.Int64    // the last slot of others
}

// never is a slot that has not been and will not be.
const never = math.MinInt64

func newWindow(clock *rolling.Clock) *window {
	w := &window{clock: clock}
	w.last.Store(never)
	return w
}

// count counts a call.
func (w *window) count(v verdict) {
	switch v {
	case ignored:
	case accepted:
		w.accepted.Inc(w.clock.Slot())
	case refused, rejected:
		now := w.clock.Slot()
		w.others.Inc(now)
		if w.last.Load() != now {
			w.last.Store(now)
		}
	}
}

// counts returns how many calls there were, and how many of them were accepted.
func (w *window) counts() (requests, accepts int) {
	now := w.clock.Slot()
	accepts = w.accepted.Sum(now)
	return accepts + w.others.Sum(now), accepts
}

// quiet reports whether all calls were accepted.
func (w *window) quiet() bool {
	last := w.last.Load()
	return last == never || w.clock.Slot()-last > rolling.Slots
}
