package breaker

import (
	"sync/atomic"
	"time"
)

// A circuit is what the policy knows of a key.
type circuit struct {
	phase atomic.Pointer[phase] // nil once the circuit is forgotten
}

// A phase is the life of a circuit from one change of its state to the next;
// open and half-open are one, as it takes no more than time to get from one to the
// other. A call reports to the phase that let it pass. If that is over by then, the
// report moves nothing: what follows a phase can only take its place while it is there.
type phase struct {
	closed   *tally    // while the circuit is closed
	recovery *recovery // while it is open or half-open
	forced   State     // otherwise
}

func (ph *phase) isForced() bool { return ph.closed == nil && ph.recovery == nil }

func (p *Policy) closed() *phase { return &phase{closed: newTally(&p.config)} }

func (ph *phase) state() State {
	switch {
	case ph.closed != nil:
		return Closed
	case ph.recovery == nil:
		return ph.forced
	case time.Until(ph.recovery.until) > 0:
		return Open
	default:
		return HalfOpen
	}
}

// forgettable reports whether the phase of an unused circuit is not worth
// remembering.
func (ph *phase) forgettable() bool {
	return ph.closed != nil ||
		ph.recovery != nil && time.Since(ph.recovery.until) > ph.recovery.config.MaxOpenFor
}

// newCircuit returns a circuit that is closed.
func (p *Policy) newCircuit() *circuit {
	c := &circuit{}
	c.phase.Store(p.closed())
	return c
}

// forget has the circuit be forgotten if its phase is not worth remembering, and
// reports whether it is. A circuit that opens at this moment is kept.
func (c *circuit) forget() bool {
	ph := c.phase.Load()
	return ph != nil && ph.forgettable() && c.phase.CompareAndSwap(ph, nil)
}

// circuit returns the circuit of key and the phase that it is in.
func (p *Policy) circuit(key string) (*circuit, *phase) {
	for {
		c := p.circuits.Get(key)
		if ph := c.phase.Load(); ph != nil {
			return c, ph
		}
		p.circuits.Delete(key, c)
	}
}

// find returns the circuit of key and the phase that it is in, or nil.
func (p *Policy) find(key string) (*circuit, *phase) {
	if c, ok := p.circuits.Find(key); ok {
		return c, c.phase.Load()
	}
	return nil, nil
}
