package ratelimit

import (
	"testing"
	"testing/synctest"
	"time"
)

// A waiter may leave when there is a token for it already.
func TestTokenIsGivenBackHoweverLate(t *testing.T) {
	for _, late := range []time.Duration{-time.Second, -1, 0, 250 * time.Millisecond, 500 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := newBucket(&Config{Rate: 1, Burst: 2})
			_, _, _ = b.take(t.Context(), 0)
			_, _, _ = b.take(t.Context(), 0)
			w, delay, _ := b.take(t.Context(), time.Minute)
			if w == nil || delay != time.Second {
				t.Fatalf("take() = %v, %v, want one who waits 1s", w, delay)
			}
			time.Sleep(delay + late)
			b.leave(w, false)
			time.Sleep(max(0, -late))
			if _, delay, _ := b.take(t.Context(), 0); delay != 0 {
				t.Errorf("with a token given back %v after it was due: delay %v, want none", late, delay)
			}
			want := time.Second - max(0, late)
			if _, delay, _ := b.take(t.Context(), 0); delay != want {
				t.Errorf("with a token given back %v after it was due: the next but one has a delay of %v, want %v", late, delay, want)
			}
		})
	}
}

// A waiter's goroutine may run long after it was due.
func TestNobodyOvertakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBucket(&Config{Rate: 1, Burst: 1})
		_, _, _ = b.take(t.Context(), 0)
		first, _, _ := b.take(t.Context(), time.Minute)
		time.Sleep(time.Hour) // Now there is a token for the next one, too.
		second, delay, _ := b.take(t.Context(), time.Minute)
		if second == nil || delay != 1 {
			t.Fatalf("take() = %v, %v while another one has not had its turn yet, want one who waits for that", second, delay)
		}
		b.leave(first, true)
		if <-second.first; time.Until(second.due) > 0 {
			t.Errorf("the second one is due in %v, want now", time.Until(second.due))
		}
	})
}

// Some calls have found their bucket just before it is forgotten.
func TestForgottenBucketGivesNoTokens(t *testing.T) {
	config := &Config{Rate: 1, Burst: 1}
	var bs buckets
	b := bs.of("orders", config)
	bs.sweep()
	if _, _, ok := b.take(t.Context(), 0); ok {
		t.Error("take() = true of a bucket that was forgotten, want false")
	}
	bs.byKey.Store("orders", b) // as if sweep were not done yet
	if other, _, delay := bs.take(t.Context(), "orders", config); other == b || delay != 0 {
		t.Errorf("buckets.take() = the same bucket %v, delay %v, want another one, none", other == b, delay)
	}
}

func TestBucketIsForgottenOnceItIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := &Config{Rate: 1, Burst: 3}
		var bs buckets
		b, _, _ := bs.take(t.Context(), "orders", config)
		time.Sleep(time.Second - 1)
		bs.sweep()
		if got := bs.of("orders", config); got != b {
			t.Error("the bucket was forgotten though a token is missing")
		}
		time.Sleep(1)
		bs.sweep()
		if got := bs.of("orders", config); got == b {
			t.Error("the bucket was kept though it is full")
		}
	})
}
