package throttle_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/throttle"
)

// A server accepts as many calls in each tenth of a second as it has the capacity for,
// and refuses all others.
type server struct {
	capacity int // per second
	tenth    time.Time
	accepted int // in that tenth
	sent     int // all in all
}

func (s *server) Do(context.Context, policy.Call) error {
	s.sent++
	if now := time.Now().Truncate(time.Second / 10); now != s.tenth {
		s.tenth, s.accepted = now, 0
	}
	if s.accepted++; s.accepted > s.capacity/10 {
		return errBusy
	}
	return nil
}

// demand makes 1000 calls per second for as long as that, and returns how many of them
// were sent per second, and succeeded.
func demand(t *testing.T, p *throttle.Policy, s *server, d time.Duration) (sent, succeeded float64) {
	before := s.sent
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if p.Do(t.Context(), orders, s.Do) == nil {
			succeeded++
		}
	}
	return float64(s.sent-before) / d.Seconds(), succeeded / d.Seconds()
}

// The server is sent K times what it accepts, and hardly a call is rejected that it
// would have accepted.
func TestConvergesToKTimesWhatIsAccepted(t *testing.T) {
	for _, k := range []float64{1.1, 2, 4} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := throttle.New(throttle.Config{K: k}), &server{capacity: 200}
				demand(t, p, s, time.Minute)
				sent, succeeded := demand(t, p, s, time.Minute)
				t.Logf("of 1000 calls per second %.0f are sent and %.0f succeed", sent, succeeded)
				if want := min(k*200, 1000); sent < 0.85*want || sent > 1.15*want {
					t.Errorf("%.0f calls per second are sent, want about %.0f", sent, want)
				}
				if succeeded < 0.9*200 {
					t.Errorf("%.0f calls per second succeed, want about 200", succeeded)
				}
			})
		})
	}
}

func TestHealthyServersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := throttle.New(throttle.Config{}), &server{capacity: 600}
		if sent, _ := demand(t, p, s, time.Minute); sent != 1000 {
			t.Errorf("%v of 1000 calls per second are sent, want all: more than one in K is accepted", sent)
		}
	})
}

// It does so as soon as the package's documentation says.
func TestRecovers(t *testing.T) {
	tests := []struct {
		name     string
		capacity int
		within   time.Duration
	}{
		{"from an overload", 100, 20 * time.Second},
		{"from an outage", 0, 100 * time.Second}, // some 64 s, and more if the first call to pass is late
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := throttle.New(throttle.Config{}), &server{capacity: tt.capacity}
				demand(t, p, s, time.Minute)
				sent, _ := demand(t, p, s, time.Minute)
				if most := 2.3*float64(tt.capacity) + 0.5; sent > most {
					t.Errorf("%.1f calls per second are sent, want at most %.1f", sent, most)
				}

				s.capacity = 2000
				start := time.Now()
				for p.Probability(orders.Key) > 0 && time.Since(start) < 10*time.Minute {
					demand(t, p, s, time.Second)
				}
				took := time.Since(start)
				t.Logf("recovers within %v", took)
				if took > tt.within {
					t.Errorf("calls are rejected for %v after the server has recovered, want at most %v", took, tt.within)
				}
				if sent, _ := demand(t, p, s, time.Minute); sent != 1000 {
					t.Errorf("%.0f of 1000 calls per second are sent after that, want all", sent)
				}
			})
		})
	}
}
