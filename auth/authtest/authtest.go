// Package authtest tests that a store keeps the promises of [auth.Store].
//
//	func TestConformance(t *testing.T) {
//		path := filepath.Join(t.TempDir(), "tokens")
//		authtest.Store(t, func(*testing.T) auth.Store { return auth.NewFileStore(path) })
//	}
package authtest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
)

// Store tests the stores that open returns. Each stands for a replica of a
// program, so all must share their records: open a connection, a file, or the
// like for each if you can. What is to be closed, open leaves to the Cleanup of
// its t, which is that of one test.
//
// The tests use keys of their own, new ones each time, so they can be run on a
// database with other records. They leave their records behind, as a store has
// no way to delete one. Use the race detector, go test -race, or a store that is
// not safe for concurrent use may pass.
func Store(t *testing.T, open func(t *testing.T) auth.Store) {
	tests := []struct {
		name string
		test func(*testing.T, *replicas)
	}{
		{"has no record at first", hasNone},
		{"creates a record", creates},
		{"creates a record once", createsOnce},
		{"replaces the record of a revision", replaces},
		{"refuses other revisions", refuses},
		{"refuses to replace what is not there", refusesAbsent},
		{"keeps values as they are", keepsValues},
		{"keeps keys apart", keepsKeys},
		{"keeps no reference to a value", keepsNoReference},
		{"gives out no reference to a value", givesNoReference},
		{"never repeats a revision", neverRepeats},
		{"loses no update", losesNoUpdate},
		{"has one winner", hasOneWinner},
		{"heeds a context that has ended", heedsContext},
		{"tells no value in errors", tellsNoValue},
	}
	if open == nil {
		t.Fatal("authtest: invalid open nil: want a function that returns a store")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.test(t, &replicas{"authtest/" + rand.Text(), open(t), open(t)})
		})
	}
}

// replicas are two that share a store, and a key that nobody else uses.
type replicas struct {
	key  string
	a, b auth.Store
}

// load returns a record, or fails t.
func load(t *testing.T, store auth.Store, key string) (value []byte, rev uint64) {
	t.Helper()
	value, rev, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatalf("Load() = %v, want nil", err)
	}
	return value, rev
}

// swap replaces a record, or fails t.
func swap(t *testing.T, store auth.Store, key string, value []byte, rev uint64) (next uint64) {
	t.Helper()
	next, err := store.Swap(t.Context(), key, value, rev)
	switch {
	case err != nil:
		t.Fatalf("Swap() = %v of revision %d, want nil", err, rev)
	case next == 0:
		t.Fatalf("Swap() = revision 0, which stands for no record, want another")
	case next == rev:
		t.Fatalf("Swap() = revision %d, which it was, want another", next)
	}
	return next
}

// conflicts checks that store does not swap.
func conflicts(t *testing.T, store auth.Store, key string, value []byte, rev uint64) {
	t.Helper()
	if _, err := store.Swap(t.Context(), key, value, rev); !errors.Is(err, auth.ErrConflict) {
		t.Errorf("Swap() = %v, want %v", err, auth.ErrConflict)
	}
}

// holds checks that all replicas find a record.
func (r *replicas) holds(t *testing.T, key string, value []byte, rev uint64) {
	t.Helper()
	for name, store := range map[string]auth.Store{"one": r.a, "another": r.b} {
		got, gotRev := load(t, store, key)
		if !bytes.Equal(got, value) || gotRev != rev {
			t.Errorf("Load() of %s replica = %s of revision %d, want %s of revision %d", name, short(got), gotRev, short(value), rev)
		}
	}
}

// lacks checks that no replica finds a record.
func (r *replicas) lacks(t *testing.T, key string) {
	t.Helper()
	for _, store := range []auth.Store{r.a, r.b} {
		if value, rev := load(t, store, key); value != nil || rev != 0 {
			t.Errorf("Load() = %s of revision %d, want nil of revision 0, as there is no record", short(value), rev)
		}
	}
}
