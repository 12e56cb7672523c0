package latency_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/latency"
)

// observe takes down n calls that took d.
func observe(l *latency.Observed, n int, d time.Duration, quantile float64) {
	for range n {
		l.Observe(d, quantile)
	}
}

func TestWhatCallsTakeIsKnownWithinAnEighth(t *testing.T) {
	for d := time.Duration(1); d < time.Hour; d = d*17/16 + 1 {
		var l latency.Observed
		observe(&l, 24, d, 0.9)
		if got, most := l.Late(), d+d/8+time.Microsecond+24; got < d || got > most {
			t.Errorf("Late() = %v of calls that take %v, want that to %v", got, d, most)
		}
	}
}

func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, quantile := range []float64{0.5, 0.75, 0.9, 0.99} {
		var l latency.Observed
		for _, ms := range r.Perm(1000) {
			l.Observe(time.Duration(ms)*time.Millisecond, quantile)
		}
		// The last few may not have been considered.
		exact := time.Duration(1000*quantile) * time.Millisecond
		if got := l.Late(); got < exact*98/100 || got > exact*9/8 {
			t.Errorf("Late() = %v, want the quantile %v, which is %v, or an eighth more", got, quantile, exact)
		}
	}
}

func TestWhatIsBeyondAllMeasure(t *testing.T) {
	for _, tt := range []struct{ took, least, most time.Duration }{
		{-time.Hour, 0, 2 * time.Microsecond},
		{1000 * time.Hour, time.Hour, 2 * time.Hour},
	} {
		var l latency.Observed
		observe(&l, 24, tt.took, 0.5)
		if got := l.Late(); got < tt.least || got > tt.most {
			t.Errorf("Late() = %v of calls that take %v, want %v to %v", got, tt.took, tt.least, tt.most)
		}
	}
}

func TestAFewCallsSayNothing(t *testing.T) {
	var l latency.Observed
	observe(&l, 19, time.Second, 0.9)
	if got := l.Late(); got != 0 {
		t.Errorf("Late() = %v after 19 calls, want 0", got)
	}
	observe(&l, 5, time.Second, 0.9)
	if got := l.Late(); got == 0 {
		t.Error("Late() = 0 after 24 calls, want what they take")
	}
}

func TestWhatIsOldIsForgotten(t *testing.T) {
	var l latency.Observed
	observe(&l, 20_000, 10*time.Millisecond, 0.5)
	observe(&l, 2500, 100*time.Millisecond, 0.5)
	if got := l.Late(); got < 100*time.Millisecond {
		t.Errorf("Late() = %v after 2500 slower calls, want it to follow", got)
	}
	observe(&l, 2500, time.Millisecond, 0.5)
	if got := l.Late(); got > 2*time.Millisecond {
		t.Errorf("Late() = %v after 2500 faster calls, want it to follow", got)
	}
}

func TestFits(t *testing.T) {
	const none = 0 // no deadline
	tests := []struct {
		takes, deadline, delay time.Duration
		want                   bool
	}{
		{time.Second, none, time.Hour, true},
		{time.Second, 1200 * time.Millisecond, 0, true},
		{time.Second, 900 * time.Millisecond, 0, false},
		{time.Second, 2200 * time.Millisecond, time.Second, true},
		{time.Second, 1900 * time.Millisecond, time.Second, false},
		{none, time.Second, time.Second - 1, true}, // Nothing is known of these calls.
		{none, time.Second, time.Second, false},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			var l latency.Observed
			if tt.takes != none { // half of them, and the others a minute
				observe(&l, 60, tt.takes, 0.99)
				observe(&l, 40, time.Minute, 0.99)
			}
			ctx := t.Context()
			if tt.deadline != none {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.deadline)
				defer cancel()
			}
			if got := l.Fits(ctx, tt.delay); got != tt.want {
				t.Errorf("Fits() = %v in %v with calls of %v and a deadline of %v, want %v", got, tt.delay, tt.takes, tt.deadline, tt.want)
			}
		})
	}
}

func TestNothingFitsWhenTheCallerHasLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var l latency.Observed
	if l.Fits(ctx, 0) {
		t.Error("Fits() = true with a canceled context, want false")
	}
}

// Callers come to conclusions at the same time, for the race detector.
func TestConcurrentUse(t *testing.T) {
	var l latency.Observed
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 5000 {
				l.Observe(time.Duration(1+i%2)*time.Second, 0.25)
				if got := l.Late(); got > time.Second*9/8 {
					t.Errorf("Late() = %v, want 1s and an eighth at most", got)
				}
			}
		})
	}
	wg.Wait()
}
