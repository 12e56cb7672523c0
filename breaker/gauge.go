package breaker

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/evenkeel-go/evenkeel/internal/rolling"
)

// A tally is kept of the calls that pass while a circuit is closed.
type tally struct {
	clock    rolling.Clock
	calls    rolling.Counter
	failures *gauge
	slow     *gauge // nil if no call is slow
}

func newTally(config *Config) *tally {
	t := &tally{clock: rolling.NewClock(config.Window)}
	t.failures = t.newGauge(config, config.FailureRatio, "failure_ratio")
	t.failures.inRow = int64(config.ConsecutiveFailures)
	if config.SlowCall > 0 {
		t.slow = t.newGauge(config, config.SlowRatio, "slow_ratio")
	}
	return t
}

// count counts a call that has ended. If the circuit has to be opened for that,
// it returns the reason.
//
// Calls count as of their end, or one that took most of the window to time out would be
// forgotten as soon as it is counted. Good ones cost next to nothing and wait for
// nobody: what they have to say is said by two atomic counters.
func (t *tally) count(v verdict) (reason string) {
	if !v.counts {
		return ""
	}
	slot := t.clock.Slot()
	t.calls.Inc(slot)
	reason = t.failures.count(slot, v.failed)
	if t.slow != nil {
		if slow := t.slow.count(slot, v.slow); reason == "" {
			reason = slow
		}
	}
	return reason
}

// A gauge measures the share of bad calls within a rolling window. It trips
// once that is too large, or when too many come in a row, and stays so.
//
// gobreaker is what trips: its circuit breaker is told of the bad calls, and asks then
// whether to open.
type gauge struct {
	machine *gobreaker.CircuitBreaker[struct{}]
	bad     rolling.Counter
	inRow   int64                  // how many bad calls in a row trip it; 0 for no number
	row     atomic.Int64           // how many there have been
	reason  atomic.Pointer[string] // why it has tripped, or nil
}

const forever = 100 * 365 * 24 * time.Hour

func (t *tally) newGauge(config *Config, ratio float64, reason string) *gauge {
	g := &gauge{}
	g.machine = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout: forever, // It is not used again once it has tripped.
		ReadyToTrip: func(gobreaker.Counts) bool {
			// The bad ones first: calls that end meanwhile make the share smaller then, and
			// those of them that are bad ask here themselves.
			slot := t.clock.Slot()
			bad := g.bad.Sum(slot)
			calls := t.calls.Sum(slot)
			switch {
			case g.inRow > 0 && g.row.Load() >= g.inRow:
				g.reason.Store(&inARow)
			case calls >= config.MinCalls && float64(bad)/float64(calls) >= ratio:
				g.reason.Store(&reason)
			}
			return g.reason.Load() != nil
		},
	})
	return g
}

// count counts a call, and returns the reason if the gauge has tripped and the
// call is a bad one.
func (g *gauge) count(slot int64, bad bool) (reason string) {
	if !bad {
		if g.row.Load() != 0 { // Spares the others a write to shared memory.
			g.row.Store(0)
		}
		return ""
	}
	g.bad.Inc(slot)
	g.row.Add(1)
	_, _ = g.machine.Execute(wentBadly)
	if tripped := g.reason.Load(); tripped != nil {
		return *tripped
	}
	return ""
}

var inARow = "consecutive_failures"

var errBad = errors.New("breaker: bad call")

func wentBadly() (struct{}, error) { return struct{}{}, errBad }
