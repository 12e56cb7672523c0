package breaker

import (
	"iter"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A State is the state of a circuit.
type State uint8

const (
	// Closed circuits let calls pass.
	Closed State = iota

	// HalfOpen circuits let a few calls pass to probe whether the other side
	// has recovered, and reject all others.
	HalfOpen

	// Open circuits reject calls.
	Open
)

// String returns the state's name in snake case: "closed", "half_open" or
// "open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case HalfOpen:
		return "half_open"
	case Open:
		return "open"
	default:
		return "invalid"
	}
}

// State returns the state that the circuit of key is in at this moment, also if
// there were no calls for a while. The circuit of an unknown key is closed.
// State may be called while an event is observed.
func (p *Policy) State(key string) State {
	if _, ph := p.find(key); ph != nil {
		return ph.state()
	}
	return Closed
}

// Gauges returns how many circuits are in each state, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		var counts [Open + 1]int
		for c := range p.circuits.All() {
			if ph := c.phase.Load(); ph != nil {
				counts[ph.state()]++
			}
		}
		for state, n := range counts {
			if !yield(policy.Gauge{Name: "status", Unit: "{circuit}", Value: float64(n), Attrs: []slog.Attr{stateAttr(State(state))}}) {
				return
			}
		}
	}
}

// ForceOpen has the circuit of key reject all calls until [Policy.Release] or
// [Policy.ForceClosed], such as during maintenance. It emits no event.
func (p *Policy) ForceOpen(key string) { p.force(key, Open) }

// ForceClosed has the circuit of key let all calls pass, whatever becomes of
// them, until [Policy.Release] or [Policy.ForceOpen]. It emits no event.
func (p *Policy) ForceClosed(key string) { p.force(key, Closed) }

func (p *Policy) force(key string, state State) {
	if p.config.Name == "" { // Not made with New, so it has no circuits.
		return
	}
	for {
		c, ph := p.circuit(key)
		if c.phase.CompareAndSwap(ph, &phase{forced: state}) {
			return
		}
	}
}

// Release ends what [Policy.ForceOpen] and [Policy.ForceClosed] began: the
// circuit of key is closed and has forgotten the past. A circuit that is not forced
// stays as it is. It emits no event.
func (p *Policy) Release(key string) {
	if c, ph := p.find(key); ph != nil && ph.isForced() {
		// If it fails, someone else has released the circuit or forced it anew.
		c.phase.CompareAndSwap(ph, p.closed())
	}
}
