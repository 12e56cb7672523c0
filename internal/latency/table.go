package latency

import (
	"strings"
	"sync"
	"sync/atomic"
)

// A Table holds what has been observed of calls by their kind. The zero value is
// empty and ready to use. It is safe for concurrent use.
type Table struct {
	byKind sync.Map // from kind to *Observed
	made   atomic.Uint64
}

// A kind is what calls have in common that take about as long.
type kind struct{ name, key string }

// sweepEvery is after how many new kinds those are forgotten that have not been
// used since the last time.
const sweepEvery = 1024

// Of returns what is known of calls of the given name and key.
func (ls *Table) Of(name, key string) *Observed {
	v, ok := ls.byKind.Load(kind{name, key})
	if !ok {
		v = ls.add(name, key)
	}
	l := v.(*Observed)
	if !l.used.Load() { // Spares the others a write to shared memory.
		l.used.Store(true)
	}
	return l
}

func (ls *Table) add(name, key string) any {
	l := &Observed{}
	l.used.Store(true)
	// Cloned, so that what is a part of something larger does not retain that.
	v, ok := ls.byKind.LoadOrStore(kind{strings.Clone(name), strings.Clone(key)}, l)
	if !ok && ls.made.Add(1)%sweepEvery == 0 {
		ls.sweep()
	}
	return v
}

// sweep forgets kinds that have not been used since the last sweep.
func (ls *Table) sweep() {
	ls.byKind.Range(func(key, v any) bool {
		if !v.(*Observed).used.Swap(false) {
			ls.byKind.Delete(key)
		}
		return true
	})
}
