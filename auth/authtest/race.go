package authtest

import (
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
)

// neverRepeats writes the same few values again and again, and has a
// revision that was seen once used after each.
func neverRepeats(t *testing.T, r *replicas) {
	seen := make(map[uint64]bool)
	rev := uint64(0)
	for i := range 100 {
		rev = swap(t, []auth.Store{r.a, r.b}[i/2%2], r.key, []byte{byte(i % 2)}, rev)
		if seen[rev] {
			t.Fatalf("Swap() = revision %d twice, want a new one for each version", rev)
		}
		seen[rev] = true
	}
}

const (
	counters = 4 // of each replica
	counts   = 10
)

// losesNoUpdate has many count up a record at a time.
func losesNoUpdate(t *testing.T, r *replicas) {
	var wg sync.WaitGroup
	revs := make(chan uint64, 2*counters*counts)
	for i := range 2 * counters {
		store := []auth.Store{r.a, r.b}[i%2]
		wg.Go(func() {
			for range counts {
				rev, err := count(t, store, r.key)
				if err != nil {
					t.Errorf("counting: %v", err)
					return
				}
				revs <- rev
			}
		})
	}
	wg.Wait()
	close(revs)
	seen := make(map[uint64]bool)
	for rev := range revs {
		if seen[rev] {
			t.Errorf("Swap() = revision %d twice, want a new one for each version", rev)
		}
		seen[rev] = true
	}
	value, rev := load(t, r.a, r.key)
	if got, want := number(value), uint64(2*counters*counts); got != want {
		t.Errorf("%d swaps succeeded, but count to %d: updates were lost", want, got)
	}
	r.holds(t, r.key, value, rev)
}

// count adds one to the number in a record. Each conflict on the way is a
// success of another, so there are not more of them than of those.
func count(t *testing.T, store auth.Store, key string) (next uint64, err error) {
	for range 2 * counters * counts {
		value, rev, err := store.Load(t.Context(), key)
		if err != nil {
			return 0, err
		}
		next, err := store.Swap(t.Context(), key, binary.BigEndian.AppendUint64(nil, number(value)+1), rev)
		if !errors.Is(err, auth.ErrConflict) {
			return next, err
		}
	}
	return 0, errors.New("more conflicts than there are swaps: want one only if the record was changed")
}

func number(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// hasOneWinner has many replace one version at a time, as they do to take a
// lease.
func hasOneWinner(t *testing.T, r *replicas) {
	rev := uint64(0)
	for range 10 {
		var wg sync.WaitGroup
		start, won := make(chan struct{}), make(chan uint64, 2*counters)
		for i := range 2 * counters {
			store := []auth.Store{r.a, r.b}[i%2]
			wg.Go(func() {
				<-start
				next, err := store.Swap(t.Context(), r.key, []byte{byte(i)}, rev)
				switch {
				case err == nil:
					won <- next
				case !errors.Is(err, auth.ErrConflict):
					t.Errorf("Swap() = %v, want nil or %v", err, auth.ErrConflict)
				}
			})
		}
		close(start)
		wg.Wait()
		if got, want := len(won), 1; got != want {
			t.Fatalf("%d of %d swaps of one revision succeeded, want %d", got, 2*counters, want)
		}
		rev = <-won
	}
}
