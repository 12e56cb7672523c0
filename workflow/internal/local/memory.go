package local

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// A Memory is a [Store] that is lost with the process. Make one with [NewMemory].
type Memory struct {
	keep time.Duration

	mu       sync.Mutex
	records  map[Key]*Record
	finished []*Record // in the order in which they ended
}

// NewMemory returns a store that forgets runs which have ended longer ago than keep.
func NewMemory(keep time.Duration) *Memory {
	return &Memory{keep: keep, records: make(map[Key]*Record)}
}

// Load implements [Store].
func (m *Memory) Load(key Key) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(time.Now())
	return clone(m.records[key]), nil
}

// Save implements [Store].
func (m *Memory) Save(r *Record, from int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.records[r.Key]
	if kept == nil {
		kept = &Record{Key: r.Key, Begin: r.Begin}
		m.records[r.Key] = kept
	}
	from = max(from, 1)
	kept.Entries = append(kept.Entries[:from-1], r.Entries[from-1:]...)
	if r.End != nil {
		kept.Entries, kept.End = nil, r.End
		m.finished = append(m.finished, kept)
	}
	return nil
}

// forget forgets the runs that have ended too long before now.
func (m *Memory) forget(now time.Time) {
	for len(m.finished) > 0 && now.Sub(m.finished[0].End.At) > m.keep {
		delete(m.records, m.finished[0].Key)
		m.finished[0] = nil
		m.finished = m.finished[1:]
	}
}

// Unfinished implements [Store].
func (m *Memory) Unfinished() iter.Seq2[Key, error] {
	return func(yield func(Key, error) bool) {
		for _, key := range m.keys() {
			record, _ := m.Load(key)
			if record != nil && record.End == nil && !yield(key, nil) {
				return
			}
		}
	}
}

// All implements [Store].
func (m *Memory) All(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for _, key := range m.keys() {
			if ctx.Err() != nil {
				yield(&Record{}, context.Cause(ctx))
				return
			}
			record, _ := m.Load(key)
			if record != nil && !yield(record, nil) {
				return
			}
		}
	}
}

func (m *Memory) keys() []Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := make([]Key, 0, len(m.records))
	for key := range m.records {
		keys = append(keys, key)
	}
	return keys
}

func clone(r *Record) *Record {
	if r == nil {
		return nil
	}
	c := *r
	c.Entries = slices.Clone(r.Entries)
	return &c
}
