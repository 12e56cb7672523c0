package limit

import (
	"sync"
	"sync/atomic"
	"time"
)

// A limiter counts the calls of a key that are in flight, and measures them.
type limiter struct {
	inFlight atomic.Int64 // or abandoned
	allowed  atomic.Int64 // how many may be in flight

	mu       sync.Mutex // held for a moment at the end of each call
	estimate estimate
	window   window
	begins   time.Time // when the window does
	ends     time.Time // and does not end before
}

func newLimiter(config *Config) *limiter {
	l := &limiter{estimate: estimate{config: config, limit: float64(config.Initial)}}
	l.begin(time.Now(), 0)
	l.allowed.Store(l.estimate.allowed())
	return l
}

const (
	full      = 0  // instead of a place in flight
	abandoned = -1 // instead of how many are in flight: the limiter is forgotten
)

// enter takes a place in flight and returns how many are taken then, or full, or
// abandoned.
func (l *limiter) enter() int64 {
	for {
		switch n := l.inFlight.Load(); {
		case n == abandoned:
			return abandoned
		case n >= l.allowed.Load():
			return full
		case l.inFlight.CompareAndSwap(n, n+1):
			return n + 1
		}
	}
}

// abandon reports whether the limiter may be forgotten, and keeps everybody from
// entering it then.
func (l *limiter) abandon() bool { return l.inFlight.CompareAndSwap(0, abandoned) }

// leave gives the place of a call back that began at start, and counts the call.
func (l *limiter) leave(v verdict, inFlight int64, start time.Time) {
	l.inFlight.Add(-1)
	if v == ignored {
		return
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.begins) {
		return
	}
	l.window.add(v, inFlight, now.Sub(start))
	if now.Before(l.ends) || l.window.calls() < minCalls {
		return
	}
	l.estimate.update(&l.window)
	l.begin(now, l.window.latency())
	l.allowed.Store(l.estimate.allowed())
}

// begin begins a window; that of a probe begins when the calls have left the queue that
// had them take latency.
func (l *limiter) begin(now time.Time, latency time.Duration) {
	if l.estimate.probing {
		now = now.Add(2 * latency)
	}
	l.window, l.begins, l.ends = window{}, now, now.Add(l.estimate.config.Window)
}

// minCalls is how many calls it takes to judge by.
const minCalls = 10

// A window is what was measured in it.
type window struct {
	succeeded int
	took      time.Duration // all those together
	refused   int
	peak      int64 // the most that were in flight
}

func (w *window) add(v verdict, inFlight int64, took time.Duration) {
	w.peak = max(w.peak, inFlight)
	if v == refused {
		w.refused++
		return
	}
	w.succeeded++
	w.took += took
}

func (w *window) calls() int { return w.succeeded + w.refused }

// refusals returns the share of calls that were refused.
func (w *window) refusals() float64 { return float64(w.refused) / float64(w.calls()) }

// latency returns how long calls took on average, or 0 if that is not known.
func (w *window) latency() time.Duration {
	if w.succeeded == 0 {
		return 0
	}
	return max(w.took/time.Duration(w.succeeded), time.Microsecond)
}
