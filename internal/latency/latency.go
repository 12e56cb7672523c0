// Package latency observes how long calls take, without a lock and in little
// memory.
package latency

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// An Observed is what has been observed of how long calls of a kind take: a
// histogram whose buckets are an eighth as wide as what they hold is long. What is
// concluded from it is not computed for each call. It is safe for concurrent use.
type Observed struct {
	used   atomic.Bool // since the last sweep
	counts [buckets]atomic.Uint32
	late   atomic.Int64 // what the quantile takes at most, in ns; 0 if not known
	median atomic.Int64 // the same of half the calls

	learning sync.Mutex // held by the one who concludes
}

const (
	unit    = 1 << 10 // ns; what a bucket is wide at least
	buckets = 240     // which are enough for more than an hour

	enough = 20   // observations to conclude anything from
	memory = 2048 // observations after which old ones count for half
)

// Observe takes down that a call took d. It is one write to shared memory, most of
// the time. The quantile is the one that is of interest, the same at every call.
func (l *Observed) Observe(d time.Duration, quantile float64) {
	if l.counts[bucketOf(d)].Add(1)%4 == 1 && l.learning.TryLock() {
		defer l.learning.Unlock()
		l.learn(quantile)
	}
}

// learn draws conclusions, and begins to forget what is old.
func (l *Observed) learn(quantile float64) {
	var counts [buckets]uint32
	total := uint32(0)
	for i := range l.counts {
		counts[i] = l.counts[i].Load()
		total += counts[i]
	}
	if total < enough {
		return
	}
	l.median.Store(int64(valueAt(&counts, total, 0.5)))
	l.late.Store(int64(valueAt(&counts, total, quantile)))
	if total < memory {
		return
	}
	for i := range counts {
		l.counts[i].Add(-(counts[i] / 2)) // counts are not negative, as only one learns at a time
	}
}

// Late returns what the quantile of the calls takes at most, or 0 if that is not
// known yet.
func (l *Observed) Late() time.Duration { return time.Duration(l.late.Load()) }

// Fits reports whether a call that begins after delay is likely to end before the
// deadline of ctx: half of them would, as far as is known.
func (l *Observed) Fits(ctx context.Context, delay time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > delay+time.Duration(l.median.Load()))
}

// bucketOf returns the bucket of d: those below 16 are a unit wide, and from there
// on there are 8 for each doubling.
func bucketOf(d time.Duration) int {
	units := min(uint64(max(d, 0))/unit, 1<<32-1) //nolint:gosec // Not negative.
	shift := max(0, bits.Len64(units)-4)
	return shift*8 + int(units>>shift) //nolint:gosec // Less than 240.
}

// valueAt returns what a share of the calls took at most.
func valueAt(counts *[buckets]uint32, total uint32, share float64) time.Duration {
	rest := float64(total) * share
	for i, n := range counts {
		if rest -= float64(n); n > 0 && rest <= 0 {
			return endOf(i)
		}
	}
	return endOf(buckets - 1)
}

// endOf returns what is just too long for the bucket.
func endOf(bucket int) time.Duration {
	shift := max(0, bucket/8-1)
	return time.Duration(bucket-shift*8+1) << shift * unit
}
