package breaker_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestFailureRatioTrips(t *testing.T) {
	tests := []struct {
		name   string
		config breaker.Config
		good   int // Good calls follow each bad one.
		want   int // Failed calls it takes to open the circuit, 0 for never.
	}{
		{"by default half of 20", breaker.Config{}, 1, 11},
		{"not a third", breaker.Config{}, 2, 0},
		{"a third if so configured", breaker.Config{FailureRatio: 0.33}, 2, 8},
		{"of as few as configured", breaker.Config{MinCalls: 5}, 1, 3},
		{"all", breaker.Config{FailureRatio: 1, ConsecutiveFailures: 1000}, 0, 20},
		{"not all but one", breaker.Config{FailureRatio: 1}, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(tt.config)
				got := 0
				for i := 1; i <= 100 && got == 0; i++ {
					_ = p.Do(t.Context(), orders, fail)
					if p.State(orders.Key) == breaker.Open {
						got = i
					}
					_ = repeat(t, tt.good, p, succeed)
				}
				if got != tt.want {
					t.Errorf("the circuit opened at failure %d, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestFailuresOutsideOfTheWindowDoNotCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{MinCalls: 4})
		_ = p.Do(t.Context(), orders, fail)
		_ = p.Do(t.Context(), orders, succeed)
		_ = p.Do(t.Context(), orders, fail)
		_ = p.Do(t.Context(), orders, succeed)
		time.Sleep(11 * time.Second)
		_ = p.Do(t.Context(), orders, fail)
		wantState(t, p, breaker.Closed, "one failure within the window")
	})
}

func TestWindowRolls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for start := range 10 {
			p := breaker.New(breaker.Config{})
			_ = p.Do(t.Context(), orders, succeed)
			time.Sleep(10*time.Second + time.Duration(start)*time.Second)
			for range 10 {
				_ = p.Do(t.Context(), orders, succeed)
				_ = p.Do(t.Context(), orders, fail)
				time.Sleep(800 * time.Millisecond)
			}
			wantState(t, p, breaker.Open, "20 calls within 8 seconds, of which half failed")
		}
	})
}

func TestSlowConsecutiveFailuresTrip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		for range 4 {
			_ = p.Do(t.Context(), orders, fail)
			time.Sleep(time.Hour)
		}
		wantState(t, p, breaker.Closed, "after four failures")
		_ = p.Do(t.Context(), orders, fail)
		wantState(t, p, breaker.Open, "after the fifth")
	})
}

func TestASuccessEndsTheRow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		for range 10 {
			_ = repeat(t, 4, p, fail)
			_ = p.Do(t.Context(), orders, succeed)
			time.Sleep(time.Hour)
		}
		wantState(t, p, breaker.Closed, "never five failures in a row")
	})
}

func TestHealthyPastDoesNotDiluteAnOutage(t *testing.T) {
	tests := []struct {
		name   string
		config breaker.Config
		outage policy.Handler
		most   time.Duration
	}{
		{"total", breaker.Config{}, fail, 50 * time.Millisecond},
		{"by ratio", breaker.Config{ConsecutiveFailures: 1_000_000}, fail, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const pause = 10 * time.Millisecond // 100 calls per second
				p := breaker.New(tt.config)
				for range 30_000 {
					_ = p.Do(t.Context(), orders, succeed)
					time.Sleep(pause)
				}
				start := time.Now()
				for p.State(orders.Key) == breaker.Closed && time.Since(start) < time.Minute {
					_ = p.Do(t.Context(), orders, tt.outage)
					time.Sleep(pause)
				}
				if took := time.Since(start); took > tt.most {
					t.Errorf("the circuit opened after %v, want at most %v", took, tt.most)
				}
			})
		})
	}
}

func TestSlowCallsTrip(t *testing.T) {
	slow, quick := after(time.Second, nil), after(time.Second-1, nil)
	tests := []struct {
		name   string
		config breaker.Config
		next   policy.Handler
		want   breaker.State
	}{
		{"slow", breaker.Config{SlowCall: time.Second, MinCalls: 5}, slow, breaker.Open},
		{"quick", breaker.Config{SlowCall: time.Second, MinCalls: 5}, quick, breaker.Closed},
		{"off", breaker.Config{MinCalls: 5}, slow, breaker.Closed},
		{"too few", breaker.Config{SlowCall: time.Second, MinCalls: 6}, slow, breaker.Closed},
		{"slow, with an error", breaker.Config{SlowCall: time.Second, MinCalls: 5}, after(time.Second, policy.WithClass(errDown, policy.Permanent)), breaker.Open},
		{"slow, but says nothing", breaker.Config{SlowCall: time.Second, MinCalls: 5}, after(time.Second, policy.ErrUnauthenticated), breaker.Closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(tt.config)
				r := &recorder{}
				for range 5 {
					wantState(t, p, breaker.Closed, "before the last call")
					_ = p.Do(t.Context(), r.call(orders), tt.next)
				}
				wantState(t, p, tt.want, "after the last call")
				if tt.want == breaker.Open {
					r.want(t, "after slow calls", "breaker.opened state=closed new_state=open transition.reason=slow_ratio open_for=5s")
				}
			})
		})
	}
}

func TestSlowRatio(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{SlowCall: 100 * time.Millisecond, SlowRatio: 0.25, MinCalls: 8})
		for range 2 {
			wantState(t, p, breaker.Closed, "before a quarter of eight")
			_ = repeat(t, 3, p, succeed)
			_ = p.Do(t.Context(), orders, after(100*time.Millisecond, nil))
		}
		wantState(t, p, breaker.Open, "at a quarter of eight")
	})
}

func TestLateResultsDoNotMoveTheState(t *testing.T) {
	results := map[string]policy.Handler{"failure": after(time.Minute, errDown), "success": after(time.Minute, nil)}
	// The state that the circuit gets into while a call runs that it let pass when
	// it was closed.
	for state, into := range map[breaker.State]func(*testing.T, *breaker.Policy){
		breaker.Open: func(t *testing.T, p *breaker.Policy) {
			time.Sleep(59 * time.Second)
			trip(t, p)
		},
		breaker.HalfOpen: func(t *testing.T, p *breaker.Policy) {
			trip(t, p)
			sleepUntilHalfOpen(t, p)
			_ = p.Do(t.Context(), orders, succeed) // The first of two probes.
		},
		breaker.Closed: func(t *testing.T, p *breaker.Policy) { // Again.
			trip(t, p)
			sleepUntilHalfOpen(t, p)
			_ = repeat(t, 2, p, succeed)
		},
	} {
		for result, next := range results {
			t.Run(fmt.Sprintf("%v, %s", state, result), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := breaker.New(breaker.Config{ConsecutiveFailures: 3, Probes: 2})
					r := &recorder{}
					arrival := time.Now().Add(time.Minute)
					for range 4 {
						go func() { _ = p.Do(t.Context(), r.call(orders), next) }()
					}
					synctest.Wait() // They have passed.
					into(t, p)
					wantState(t, p, state, "before the late results")
					time.Sleep(time.Until(arrival))
					synctest.Wait()
					wantState(t, p, state, "after the late results")
					r.want(t, "late results")
				})
			})
		}
	}
}

func TestCircuitsArePerKey(t *testing.T) {
	p := breaker.New(breaker.Config{})
	trip(t, p)
	for _, key := range []string{"", "users"} {
		if got := p.State(key); got != breaker.Closed {
			t.Errorf("State(%q) = %v, want %v", key, got, breaker.Closed)
		}
		if err := p.Do(t.Context(), policy.Call{Key: key}, succeed); err != nil {
			t.Errorf("Do() with key %q = %v, want nil", key, err)
		}
	}
	wantRejected(t, p, "the key that failed")
}

func TestMapOfKeysIsBounded(t *testing.T) {
	p := breaker.New(breaker.Config{})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	crowd(t, p, 50_000)
	if got := int64(heap()) - int64(before); got > 8<<20 {
		t.Errorf("50,000 keys hold %d bytes, want at most 8 MiB", got)
	}
	runtime.KeepAlive(p)
}

// crowd makes calls with n new keys.
func crowd(t *testing.T, p *breaker.Policy, n int) {
	t.Helper()
	for i := range n {
		if err := p.Do(t.Context(), policy.Call{Key: fmt.Sprintf("host-%d", i)}, succeed); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
	}
}

func TestWhatIsForgotten(t *testing.T) {
	tests := []struct {
		name    string
		before  func(*testing.T, *breaker.Policy)
		sleep   time.Duration
		between policy.Handler // If not nil, the key is used now and then.
		more    int            // Failures after that.
		want    breaker.State
	}{
		{"closed and unused", failFourTimes, 0, nil, 1, breaker.Closed},
		{"closed but used", failFourTimes, 0, neutral, 1, breaker.Open},
		{"open", trip, 0, nil, 0, breaker.Open},
		{"half-open", trip, 5 * time.Minute, nil, 0, breaker.HalfOpen},
		{"half-open for long", trip, 6 * time.Minute, nil, 0, breaker.Closed},
		{"forced open", func(_ *testing.T, p *breaker.Policy) { p.ForceOpen(orders.Key) }, time.Hour, nil, 0, breaker.Open},
		{"forced closed", func(_ *testing.T, p *breaker.Policy) { p.ForceClosed(orders.Key) }, time.Hour, nil, 10, breaker.Closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(breaker.Config{})
				tt.before(t, p)
				time.Sleep(tt.sleep)
				for i := range 2048 {
					_ = p.Do(t.Context(), policy.Call{Key: fmt.Sprint(i)}, succeed)
					if tt.between != nil {
						_ = p.Do(t.Context(), orders, tt.between)
					}
				}
				_ = repeat(t, tt.more, p, fail)
				wantState(t, p, tt.want, "after 2048 other keys")
			})
		})
	}
}

func failFourTimes(t *testing.T, p *breaker.Policy) { _ = repeat(t, 4, p, fail) }

func neutral(context.Context, policy.Call) error { return policy.ErrUnauthenticated }

// Whatever the order in which calls end, no more than a quarter of them have failed.
func TestShareOfFailuresIsNeverOverrated(t *testing.T) {
	for range 100 {
		p := breaker.New(breaker.Config{FailureRatio: 0.26, ConsecutiveFailures: 1 << 30, Window: time.Hour})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 10 {
					_ = repeat(t, 3, p, succeed)
					_ = p.Do(t.Context(), orders, fail)
				}
			})
		}
		wg.Wait()
		if got := p.State(orders.Key); got != breaker.Closed {
			t.Fatalf("state is %v with a quarter of failures, want %v", got, breaker.Closed)
		}
	}
}

// Callers come and go while keys are forgotten all the time, for the race
// detector.
func TestConcurrentUse(t *testing.T) {
	p := breaker.New(breaker.Config{OpenFor: time.Millisecond, ProbeTimeout: time.Millisecond, SlowCall: time.Second})
	r := &recorder{observe: func(event policy.Event) { p.State(event.Call.Key) }}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 2000 {
				call := policy.Call{Key: fmt.Sprint(j % 10)}
				next := succeed
				switch (i + j/10) % 5 {
				case 0:
					next = fail
				case 1:
					call.Key = fmt.Sprint("host", i, j)
				case 2:
					p.ForceOpen(call.Key)
					p.ForceClosed(call.Key)
					p.Release(call.Key)
				}
				_ = p.Do(t.Context(), r.call(call), next)
			}
		})
	}
	wg.Wait()
}
