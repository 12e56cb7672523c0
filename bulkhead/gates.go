package bulkhead

import (
	"strings"
	"sync"
	"sync/atomic"
)

// gates holds the gates by key. The zero value is empty.
type gates struct {
	byKey sync.Map // from string to *gate
	made  atomic.Uint64
}

// sweepEvery is after how many new gates those are forgotten that are not in use.
const sweepEvery = 1024

// enter takes a slot of the gate of key, if one is free.
func (gs *gates) enter(key string, slots int) (*gate, bool) {
	for {
		g := gs.of(key)
		l, ok := g.enter(slots)
		if l != gone {
			return g, ok
		}
		gs.byKey.CompareAndDelete(key, g)
	}
}

// of returns the gate of key.
func (gs *gates) of(key string) *gate {
	if v, ok := gs.byKey.Load(key); ok {
		return v.(*gate)
	}
	// Cloned, so that a key that is a part of something larger does not retain that.
	v, ok := gs.byKey.LoadOrStore(strings.Clone(key), new(gate))
	if !ok && gs.made.Add(1)%sweepEvery == 0 {
		gs.sweep()
	}
	return v.(*gate)
}

// sweep forgets the gates that are not in use.
func (gs *gates) sweep() {
	gs.byKey.Range(func(key, v any) bool {
		if v.(*gate).forget() {
			gs.byKey.CompareAndDelete(key, v)
		}
		return true
	})
}

// count returns how many calls hold a slot, and how many wait for one.
func (gs *gates) count() (running, waiting int) {
	gs.byKey.Range(func(_, v any) bool {
		if l := v.(*gate).now(); l != gone {
			running += l.running()
			waiting += l.waiting()
		}
		return true
	})
	return running, waiting
}
