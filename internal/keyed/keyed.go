// Package keyed keeps what policies know of the keys of their calls, and never of
// many more keys than are in use.
package keyed

import (
	"iter"
	"strings"
	"sync"
	"sync/atomic"
)

// A Map holds a value for each key. It is safe for concurrent use, and takes no
// lock and writes nothing when it is asked for a value that it has.
type Map[V any] struct {
	// New makes the value of a key that the map has none for.
	New func() *V

	// Forget reports whether a value that nobody has asked for in a while may be
	// forgotten. Somebody may hold it still, or be given it at this very moment. If
	// that matters, Forget marks the value, and whoever finds the mark calls Delete
	// and asks again.
	Forget func(*V) bool

	entries sync.Map                 // from string to *entry[V]
	first   atomic.Pointer[entry[V]] // one of them; many maps have no other
	made    atomic.Uint64
}

type entry[V any] struct {
	key   string
	value *V
	used  atomic.Bool // since the last sweep
}

// sweepEvery is after how many new keys those are forgotten that have not been used
// since the last time.
const sweepEvery = 1024

// Get returns the value of key.
func (m *Map[V]) Get(key string) *V {
	e, ok := m.find(key)
	if !ok {
		e = m.add(key)
	}
	if !e.used.Load() { // Spares the others a write to shared memory.
		e.used.Store(true)
	}
	return e.value
}

// Find returns the value of key, if there is one. That does not count as use.
func (m *Map[V]) Find(key string) (*V, bool) {
	e, ok := m.find(key)
	if !ok {
		return nil, false
	}
	return e.value, true
}

// All returns the values of all keys.
func (m *Map[V]) All() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		m.entries.Range(func(_, e any) bool { return yield(e.(*entry[V]).value) })
	}
}

// Delete forgets the value of key, if it is this one.
func (m *Map[V]) Delete(key string, value *V) {
	if e, ok := m.find(key); ok && e.value == value {
		m.delete(e)
	}
}

func (m *Map[V]) delete(e *entry[V]) {
	m.first.CompareAndSwap(e, nil)
	m.entries.CompareAndDelete(e.key, e)
}

func (m *Map[V]) find(key string) (*entry[V], bool) {
	if e := m.first.Load(); e != nil && e.key == key {
		return e, true
	}
	e, ok := m.entries.Load(key)
	if !ok {
		return nil, false
	}
	return e.(*entry[V]), true
}

func (m *Map[V]) add(key string) *entry[V] {
	// Cloned, so that a key that is a part of something larger does not retain that.
	e := &entry[V]{key: strings.Clone(key), value: m.New()}
	e.used.Store(true)
	if other, ok := m.entries.LoadOrStore(e.key, e); ok {
		return other.(*entry[V])
	}
	m.first.CompareAndSwap(nil, e)
	if m.made.Add(1)%sweepEvery == 0 {
		m.sweep()
	}
	return e
}

// sweep forgets values that have not been used since the last sweep.
func (m *Map[V]) sweep() {
	m.entries.Range(func(_, v any) bool {
		e := v.(*entry[V])
		if !e.used.Swap(false) && m.Forget(e.value) {
			m.delete(e)
		}
		return true
	})
}
