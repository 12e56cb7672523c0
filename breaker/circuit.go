package breaker

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A circuit is what the policy knows of a key.
type circuit struct {
	phase atomic.Pointer[phase] // nil once the circuit is forgotten
	used  atomic.Bool           // since the last sweep
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

// circuits holds the circuits by key. The zero value is empty.
type circuits struct {
	byKey sync.Map // from string to *circuit
	made  atomic.Uint64
}

// sweepEvery is after how many new circuits those are forgotten that have not
// been used since the last time.
const sweepEvery = 1024

// circuit returns the circuit of key and the phase that it is in.
func (p *Policy) circuit(key string) (*circuit, *phase) {
	for {
		if c, ph := p.circuits.find(key); ph != nil {
			if !c.used.Load() { // Spares the others a write to shared memory.
				c.used.Store(true)
			}
			return c, ph
		}
		p.circuits.add(key, p.closed())
	}
}

// find returns the circuit of key and the phase that it is in, or nil.
func (cs *circuits) find(key string) (*circuit, *phase) {
	v, ok := cs.byKey.Load(key)
	if !ok {
		return nil, nil
	}
	c := v.(*circuit)
	ph := c.phase.Load()
	if ph == nil {
		cs.byKey.CompareAndDelete(key, c)
	}
	return c, ph
}

// add adds a circuit unless there is one.
func (cs *circuits) add(key string, ph *phase) {
	c := &circuit{}
	c.phase.Store(ph)
	c.used.Store(true)
	// Cloned, so that a key that is a part of something larger does not retain that.
	if _, ok := cs.byKey.LoadOrStore(strings.Clone(key), c); ok {
		return
	}
	if cs.made.Add(1)%sweepEvery == 0 {
		cs.sweep()
	}
}

// sweep forgets circuits that have not been used since the last sweep.
func (cs *circuits) sweep() {
	cs.byKey.Range(func(key, v any) bool {
		c := v.(*circuit)
		if c.used.Swap(false) {
			return true
		}
		// The phase is replaced first, so that a circuit that opens at this moment is kept.
		if ph := c.phase.Load(); ph != nil && ph.forgettable() && c.phase.CompareAndSwap(ph, nil) {
			cs.byKey.CompareAndDelete(key, c)
		}
		return true
	})
}
