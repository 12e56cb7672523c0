package limit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A server works on as many calls at a time as it has workers, and has the others wait in
// line. It does not notice if they are given up.
type server struct {
	service time.Duration // of a call, on average
	noisy   bool          // whether that varies, by an exponential distribution
	timeout time.Duration // after which calls are given up, if not 0

	mu      sync.Mutex
	random  *rand.Rand
	workers []time.Time // until when each is busy
	served  int
	took    time.Duration // all those together that were served
}

func newServer(workers int, service time.Duration) *server {
	return &server{service: service, workers: make([]time.Time, workers), random: rand.New(rand.NewPCG(1, 2))}
}

func (s *server) scale(workers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = slices.Repeat([]time.Time{time.Now()}, workers)
}

// accept returns how long a call that arrives now is going to take, and whether its
// caller is going to wait for that.
func (s *server) accept() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, service := time.Now(), s.service
	if s.noisy {
		service = time.Duration(float64(service) * s.random.ExpFloat64())
	}
	free := slices.MinFunc(s.workers, time.Time.Compare)
	worker := slices.Index(s.workers, free)
	if free.Before(now) {
		free = now
	}
	s.workers[worker] = free.Add(service)
	took := s.workers[worker].Sub(now)
	if s.timeout > 0 && took > s.timeout {
		return s.timeout, false
	}
	s.served++
	s.took += took
	return took, true
}

func (s *server) Do(context.Context, policy.Call) error {
	took, ok := s.accept()
	time.Sleep(took)
	if !ok {
		return context.DeadlineExceeded
	}
	return nil
}

func (s *server) sums() (served int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.took
}

// A result is how the calls of some time went.
type result struct {
	served   float64       // per second
	latency  time.Duration // of these on average
	rejected int           // by the policy
}

// demand makes calls at random times, so many per second on average, for as long as that.
func demand(t *testing.T, p policy.Policy, s *server, perSecond float64, d time.Duration) result {
	t.Helper()
	random := rand.New(rand.NewPCG(3, 4))
	servedBefore, tookBefore := s.sums()
	var rejected atomic.Int64
	var calls sync.WaitGroup
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(time.Duration(random.ExpFloat64() / perSecond * float64(time.Second)))
		calls.Go(func() {
			if err := p.Do(t.Context(), orders, s.Do); errors.Is(err, limit.ErrExceeded) {
				rejected.Add(1)
			}
		})
	}
	served, took := s.sums()
	served, took = served-servedBefore, took-tookBefore
	calls.Wait()
	r := result{float64(served) / d.Seconds(), took / time.Duration(max(1, served)), int(rejected.Load())}
	t.Logf("in %v %.1f calls per second are served, in %v", d, r.served, r.latency.Round(time.Millisecond))
	return r
}

func wantServed(t *testing.T, r result, perSecond float64) {
	t.Helper()
	if r.served < 0.92*perSecond {
		t.Errorf("%.0f calls per second are served, want nearly %.0f", r.served, perSecond)
	}
}

func wantLatency(t *testing.T, r result, most time.Duration) {
	t.Helper()
	if r.latency > most {
		t.Errorf("calls take %v, want at most %v", r.latency, most)
	}
}

const base = 100 * time.Millisecond

// A server that can do 100 calls per second is asked for 200, for longer than it takes to
// learn its queue.
func TestConverges(t *testing.T) {
	tests := []struct {
		initial int
		noisy   bool
	}{{4, false}, {4, true}, {100, false}, {100, true}}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := limit.New(limit.Config{Initial: tt.initial}), newServer(10, base)
				s.noisy = tt.noisy
				demand(t, p, s, 200, 2*time.Minute)
				r := demand(t, p, s, 200, 5*time.Minute)
				wantServed(t, r, 100)
				wantLatency(t, r, 5*base/2) // 1.5, and the headroom
			})
		})
	}
}

func TestDropsWithTheServerAndRecovers(t *testing.T) {
	for _, noisy := range []bool{false, true} {
		t.Run(fmt.Sprint(noisy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := limit.New(limit.Config{}), newServer(10, base)
				s.noisy = noisy
				demand(t, p, s, 200, time.Minute)

				s.scale(3)
				demand(t, p, s, 200, 30*time.Second)
				r := demand(t, p, s, 200, time.Minute)
				wantServed(t, r, 30)
				wantLatency(t, r, 4*base) // The headroom is 4, however little the server can take.

				s.scale(10)
				demand(t, p, s, 200, 15*time.Second)
				r = demand(t, p, s, 200, time.Minute)
				wantServed(t, r, 100)
				wantLatency(t, r, 5*base/2)
			})
		})
	}
}

// However far what the server can take falls, the limit is down before long.
func TestFallsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := limit.New(limit.Config{Initial: 100}), newServer(50, base)
		demand(t, p, s, 750, 30*time.Second)
		s.scale(1)
		demand(t, p, s, 750, 20*time.Second)
		r := demand(t, p, s, 750, 20*time.Second)
		wantServed(t, r, 10)
		wantLatency(t, r, 10*base)
	})
}

// A server that has become slower looks overloaded, but is not: it can take as many calls
// at a time as ever.
func TestLearnsThatAServerHasBecomeSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := limit.New(limit.Config{}), newServer(10, base)
		demand(t, p, s, 200, time.Minute)

		s.service = 3 * base
		demand(t, p, s, 200, time.Minute)
		r := demand(t, p, s, 200, time.Minute)
		wantServed(t, r, 100./3)
		wantLatency(t, r, 3*(5*base/2))
	})
}

// Callers do not wait for ever. A server with a queue that is longer than their patience
// works for nobody.
func TestCallsAreNotWorkedOnInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := limit.New(limit.Config{Initial: 100}), newServer(10, base)
		s.timeout = 4 * base
		unlimited := policy.New("unlimited", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			return next(ctx, call)
		})
		if r := demand(t, unlimited, s, 120, time.Minute); r.served > 20 {
			t.Errorf("%.0f calls per second are served without a limit, want next to none", r.served)
		}
		s.scale(10)
		demand(t, p, s, 120, time.Minute)
		wantServed(t, demand(t, p, s, 120, time.Minute), 100)
	})
}

// A client that does not come near the limit has no call rejected, however much the
// latency varies.
func TestIdleClientsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := limit.New(limit.Config{}), newServer(10, base)
		s.noisy = true
		if r := demand(t, p, s, 10, 5*time.Minute); r.rejected > 0 {
			t.Errorf("%d calls were rejected, with one in flight on average", r.rejected)
		}
		if got := p.Limit(orders.Key); got < 20 {
			t.Errorf("Limit() = %d, want at least 20, as in the beginning", got)
		}
	})
}

// A busy client is given what it asks for within seconds.
func TestGrowsWithTheDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := limit.New(limit.Config{}), newServer(30, base)
		demand(t, p, s, 280, 10*time.Second)
		wantServed(t, demand(t, p, s, 280, 10*time.Second), 280)
	})
}
