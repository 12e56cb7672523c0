package breaker

import (
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
)

// A tally is kept of the calls that pass while a circuit is closed.
type tally struct {
	failures *gauge
	slow     *gauge // nil if no call is slow
}

func newTally(config *Config) *tally {
	t := &tally{failures: newGauge(config, config.FailureRatio, "failure_ratio")}
	t.failures.inRow = config.ConsecutiveFailures
	if config.SlowCall > 0 {
		t.slow = newGauge(config, config.SlowRatio, "slow_ratio")
	}
	return t
}

// count counts a call that has ended. If the circuit has to be opened for that,
// it returns the reason.
func (t *tally) count(v verdict) (reason string) {
	if !v.counts {
		return ""
	}
	reason = t.failures.count(v.failed)
	if t.slow != nil {
		if slow := t.slow.count(v.slow); reason == "" {
			reason = slow
		}
	}
	return reason
}

// A gauge measures the share of bad calls within a rolling window. It trips
// once that is too large, or when too many come in a row, and stays so.
//
// gobreaker does the measuring: its circuit breaker is told of calls when they
// have ended already. Had they been announced to it when they began, it would
// count them as of then, and a call that took most of the window to time out
// would be forgotten as soon as it is counted.
type gauge struct {
	machine *gobreaker.CircuitBreaker[struct{}]
	inRow   int // how many bad calls in a row trip it; 0 for no number

	// These are guarded by machine's mutex, under which it calls back. It clears
	// its own count of consecutive failures with the window.
	row    int
	reason string // why it has tripped
}

const (
	buckets = 10
	forever = 100 * 365 * 24 * time.Hour
)

func newGauge(config *Config, ratio float64, reason string) *gauge {
	g := &gauge{}
	g.machine = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     config.Window,
		BucketPeriod: (config.Window + buckets - 1) / buckets,
		Timeout:      forever, // It is not used again once it has tripped.
		IsSuccessful: func(err error) bool {
			if err == nil {
				g.row = 0
				return true
			}
			g.row++
			return false
		},
		ReadyToTrip: func(n gobreaker.Counts) bool {
			calls := int64(n.TotalSuccesses) + int64(n.TotalFailures)
			switch {
			case g.inRow > 0 && g.row >= g.inRow:
				g.reason = "consecutive_failures"
			case calls >= int64(config.MinCalls) && float64(n.TotalFailures)/float64(calls) >= ratio:
				g.reason = reason
			}
			return g.reason != ""
		},
	})
	return g
}

// count counts a call, and returns the reason if the gauge has tripped and the
// call is a bad one.
func (g *gauge) count(bad bool) (reason string) {
	if !bad {
		_, _ = g.machine.Execute(wentWell)
		return ""
	}
	_, _ = g.machine.Execute(wentBadly)
	if g.machine.State() == gobreaker.StateClosed {
		return ""
	}
	return g.reason // which changes no more
}

var errBad = errors.New("breaker: bad call")

func wentWell() (struct{}, error)  { return struct{}{}, nil }
func wentBadly() (struct{}, error) { return struct{}{}, errBad }
