package keyed_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evenkeel-go/evenkeel/internal/keyed"
)

// A seat is taken by one at a time, or given up for good.
type seat struct{ state atomic.Int32 }

const (
	free = iota
	taken
	gone
)

func seats() *keyed.Map[seat] {
	return &keyed.Map[seat]{
		New:    func() *seat { return new(seat) },
		Forget: func(s *seat) bool { return s.state.CompareAndSwap(free, gone) },
	}
}

// crowd asks for n new keys.
func crowd(m *keyed.Map[seat], name string, n int) {
	for i := range n {
		m.Get(fmt.Sprint(name, i))
	}
}

func TestAKeyHasOneValue(t *testing.T) {
	m := seats()
	a := m.Get("a")
	if m.Get("a") != a {
		t.Error("Get() gives another value the second time")
	}
	if m.Get("b") == a {
		t.Error("two keys have the same value")
	}
	if got, ok := m.Find("a"); got != a || !ok {
		t.Errorf("Find() = %p, %v, want %p, true", got, ok, a)
	}
	if got, ok := m.Find("c"); got != nil || ok {
		t.Errorf("Find() of an unknown key = %p, %v, want nil, false", got, ok)
	}
}

func TestTheMapIsBounded(t *testing.T) {
	m := seats()
	crowd(m, "key", 20_000)
	n := 0
	for range m.All() {
		n++
	}
	if n > 2048 {
		t.Errorf("the map holds %d of 20,000 keys, want at most 2048", n)
	}
}

func TestWhatIsForgotten(t *testing.T) {
	m := seats()
	idle, used, kept := m.Get("idle"), m.Get("used"), m.Get("kept")
	kept.state.Store(taken)
	for i := range 20 {
		crowd(m, fmt.Sprint("crowd", i), 512)
		m.Get("used")
	}
	if m.Get("used") != used {
		t.Error("a key in use was forgotten")
	}
	if m.Get("kept") != kept {
		t.Error("a value was forgotten that must not be")
	}
	if m.Get("idle") == idle {
		t.Error("an idle key was not forgotten")
	}
}

func TestDeleteSparesTheSuccessor(t *testing.T) {
	m := seats()
	old := m.Get("a")
	m.Delete("a", old)
	next := m.Get("a")
	if next == old {
		t.Fatal("Delete() had no effect")
	}
	m.Delete("a", old)
	if m.Get("a") != next {
		t.Error("Delete() of the old value deleted the new one")
	}
}

// Nobody is ever given a value that was forgotten for somebody else's, if he looks
// for the mark.
func TestConcurrentUse(t *testing.T) {
	m := seats()
	take := func(key string) *seat {
		for {
			s := m.Get(key)
			if s.state.CompareAndSwap(free, taken) {
				return s
			}
			m.Delete(key, s) // It is gone, as nobody else takes it.
		}
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			own := fmt.Sprint("own", i)
			for j := range 30 {
				s := take(own)
				crowd(m, fmt.Sprint(i, "-", j, "-"), 100)
				if got, ok := m.Find(own); !ok || got != s {
					t.Errorf("%s was forgotten while it was taken", own)
				}
				s.state.Store(free)
				crowd(m, fmt.Sprint(i, "+", j, "+"), 100)
			}
		})
	}
	wg.Wait()
}

func TestGetAllocatesNothing(t *testing.T) {
	m := seats()
	m.Get("key")
	if got := testing.AllocsPerRun(1000, func() { m.Get("key") }); got != 0 {
		t.Errorf("Get() makes %v allocations, want 0", got)
	}
}
