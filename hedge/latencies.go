package hedge

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evenkeel-go/evenkeel/policy"
)

// latencies holds what is known of calls by their kind. The zero value is empty.
type latencies struct {
	byKind sync.Map // from kind to *latency
	made   atomic.Uint64
}

// A kind is what calls have in common that take about as long.
type kind struct{ name, key string }

// sweepEvery is after how many new kinds those are forgotten that have not been
// used since the last time.
const sweepEvery = 1024

// of returns what is known of calls like the given one.
func (ls *latencies) of(call policy.Call) *latency {
	v, ok := ls.byKind.Load(kind{call.Name, call.Key})
	if !ok {
		v = ls.add(call)
	}
	l := v.(*latency)
	if !l.used.Load() { // Spares the others a write to shared memory.
		l.used.Store(true)
	}
	return l
}

func (ls *latencies) add(call policy.Call) any {
	l := &latency{}
	l.used.Store(true)
	// Cloned, so that what is a part of something larger does not retain that.
	v, ok := ls.byKind.LoadOrStore(kind{strings.Clone(call.Name), strings.Clone(call.Key)}, l)
	if !ok && ls.made.Add(1)%sweepEvery == 0 {
		ls.sweep()
	}
	return v
}

// sweep forgets kinds that have not been used since the last sweep.
func (ls *latencies) sweep() {
	ls.byKind.Range(func(key, v any) bool {
		if !v.(*latency).used.Swap(false) {
			ls.byKind.Delete(key)
		}
		return true
	})
}
