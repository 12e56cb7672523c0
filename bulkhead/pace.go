package bulkhead

import (
	"slices"
	"time"
)

// A pace is how fast a gate has freed slots since calls began to wait.
type pace struct {
	last      time.Time        // when a slot was freed last, or calls began to wait
	intervals [9]time.Duration // of the latest slots freed; a ring
	freedAll  int
}

// enough is from how many intervals on they say something.
const enough = 5

// begin takes down that a call begins to wait while no other does.
func (p *pace) begin(now time.Time) { *p = pace{last: now} }

// freed takes down that a slot was freed while calls waited.
func (p *pace) freed(now time.Time) {
	p.intervals[p.freedAll%len(p.intervals)] = now.Sub(p.last)
	p.freedAll++
	p.last = now
}

// turn returns when the turn of a call will come with so many ahead of it. It is
// the zero Time if that cannot be told. The median interval is mostly shorter than
// the mean, so that the answer errs in favor of the call.
func (p *pace) turn(ahead int) time.Time {
	if p.freedAll < enough {
		return time.Time{}
	}
	intervals := p.intervals // a copy
	known := intervals[:min(p.freedAll, len(intervals))]
	slices.Sort(known)
	median := known[len(known)/2]
	return p.last.Add(time.Duration(ahead+1) * median)
}
