package auth

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
)

// A MemoryStore is a [Store] in the memory of one process, for tests, and for
// policies of one program that share a grant. What it keeps ends with the
// process. Its zero value is empty and ready to use. It must not be copied, and is
// safe for concurrent use.
type MemoryStore struct {
	mu      sync.Mutex
	records map[string]*storeRecord // behind pointers, out of reach of what prints structs by reflection
}

// A storeRecord is a record of a store of this package. Its revision is 0 if
// there is none.
type storeRecord struct {
	Value []byte `json:"value"`
	Rev   uint64 `json:"rev"`
}

// Load implements [Store].
func (s *MemoryStore) Load(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[key]
	if !ok {
		return nil, 0, nil
	}
	return bytes.Clone(r.Value), r.Rev, nil
}

// Swap implements [Store].
func (s *MemoryStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var current uint64
	if r, ok := s.records[key]; ok {
		current = r.Rev
	}
	if current != rev {
		return 0, ErrConflict
	}
	if s.records == nil {
		s.records = make(map[string]*storeRecord)
	}
	next = newRevision()
	s.records[key] = &storeRecord{bytes.Clone(value), next}
	return next, nil
}

// Format implements [fmt.Formatter], without the records.
func (s *MemoryStore) Format(f fmt.State, verb rune) { format(f, verb, "auth.MemoryStore") }

// newRevision returns a revision that no record has had: one in 2⁶³ that are
// drawn by lot, so that not even one that was deleted, or restored from a backup,
// gets one of its old ones again.
func newRevision() uint64 { return rand.Uint64N(1<<63-1) + 1 }
