package rolling_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/rolling"
)

func TestSlotsAreTenthsOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := rolling.NewClock(10 * time.Second)
		for _, tt := range []struct {
			sleep time.Duration
			want  int64
		}{{0, 0}, {time.Second - 1, 0}, {1, 1}, {time.Hour, 3601}} {
			time.Sleep(tt.sleep)
			if got := clock.Slot(); got != tt.want {
				t.Errorf("Slot() = %d %v later, want %d", got, tt.sleep, tt.want)
			}
		}
	})
}

func TestSlotsAreAMillisecondWideAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, window := range []time.Duration{-time.Hour, 0, 1, 10 * time.Millisecond} {
			clock := rolling.NewClock(window)
			time.Sleep(time.Second)
			if got := clock.Slot(); got != 1000 {
				t.Errorf("Slot() = %d after a second with windows of %v, want 1000", got, window)
			}
		}
	})
}

func TestTheWindowRolls(t *testing.T) {
	for _, first := range []int64{0, 1, 10, 11, -1, -10, -11, -1000, 1 << 32, 1 << 40} {
		var c rolling.Counter
		for range 3 {
			c.Inc(first)
		}
		c.Inc(first + 4)
		for _, tt := range []struct {
			slot int64
			want int
		}{{0, 3}, {4, 4}, {rolling.Slots, 4}, {rolling.Slots + 1, 1}, {rolling.Slots + 4, 1}, {rolling.Slots + 5, 0}} {
			if got := c.Sum(first + tt.slot); got != tt.want {
				t.Errorf("Sum(%d+%d) = %d, want %d", first, tt.slot, got, tt.want)
			}
		}
		c.Inc(first + rolling.Slots + 1) // takes the place of the first
		if got := c.Sum(first + rolling.Slots + 1); got != 2 {
			t.Errorf("Sum(%d+%d) = %d with one event more, want 2", first, rolling.Slots+1, got)
		}
	}
}

func TestTakingBack(t *testing.T) {
	var c rolling.Counter
	c.Inc(3)
	c.Inc(3)
	c.Dec(3)
	if got := c.Sum(3); got != 1 {
		t.Errorf("Sum() = %d after one of two events was taken back, want 1", got)
	}
	c.Dec(3)
	c.Dec(3)
	if got := c.Sum(3); got != 0 {
		t.Errorf("Sum() = %d after more was taken back than there was, want 0", got)
	}
	c.Inc(3 + rolling.Slots + 1)
	c.Dec(3)
	if got := c.Sum(3 + rolling.Slots + 1); got != 1 {
		t.Errorf("Sum() = %d after an event of another slot was taken back, want 1", got)
	}
}

func TestClear(t *testing.T) {
	var c rolling.Counter
	for slot := range int64(20) {
		c.Inc(slot)
	}
	c.Clear()
	for slot := range int64(40) {
		if got := c.Sum(slot); got != 0 {
			t.Errorf("Sum(%d) = %d after Clear, want 0", slot, got)
		}
	}
}

// Whoever is the first to count in a slot, nobody's event is lost.
func TestConcurrentUse(t *testing.T) {
	const workers = 4
	counters := make([]rolling.Counter, 20_000)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range counters {
				counters[i].Inc(5)
				counters[i].Inc(5)
				counters[i].Dec(5)
			}
		})
	}
	wg.Wait()
	for i := range counters {
		if got := counters[i].Sum(5); got != workers {
			t.Fatalf("Sum() = %d after %d workers have counted, want %d", got, workers, workers)
		}
	}
}
