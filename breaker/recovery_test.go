package breaker_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestProbesCloseTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		trip(t, p)
		time.Sleep(5*time.Second - 1)
		wantRejected(t, p, "just before the time")
		time.Sleep(time.Nanosecond)
		for range 3 {
			wantState(t, p, breaker.HalfOpen, "before the third probe succeeded")
			wantPasses(t, p, "probe")
		}
		wantState(t, p, breaker.Closed, "after the third probe succeeded")

		_ = repeat(t, 4, p, fail)
		wantState(t, p, breaker.Closed, "four failures later: the past is forgotten")
	})
}

func TestFailedProbeOpensTheCircuit(t *testing.T) {
	tests := map[string]policy.Handler{
		"failure": fail,
		"slow":    after(time.Second, nil),
	}
	for name, next := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(breaker.Config{SlowCall: time.Second})
				trip(t, p)
				sleepUntilHalfOpen(t, p)
				wantPasses(t, p, "first probe")
				if err := p.Do(t.Context(), orders, next); errors.Is(err, breaker.ErrOpen) {
					t.Errorf("second probe: Do() = %v, want it to pass", err)
				}
				wantState(t, p, breaker.Open, "after the second probe")
				wantRejected(t, p, "after the second probe")
			})
		})
	}
}

func TestOpenTimeGrowsWithJitterUpToTheCap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		seen := make(map[time.Duration]int)
		for range 20 {
			p := breaker.New(breaker.Config{OpenFor: 10 * time.Second, MaxOpenFor: time.Minute})
			trip(t, p)
			for i, most := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute, time.Minute} {
				got, _ := policy.RetryAfter(p.Do(t.Context(), orders, succeed))
				least := most / 2
				if i == 0 {
					least = most
				}
				if got < least || got > most {
					t.Errorf("opening %d: open for %v, want %v to %v", i+1, got, least, most)
				}
				if i > 0 {
					seen[got]++
				}
				time.Sleep(got - 1)
				wantRejected(t, p, "before the time")
				time.Sleep(time.Nanosecond)
				_ = p.Do(t.Context(), orders, fail)
				wantState(t, p, breaker.Open, "after a failed probe")
			}
		}
		if len(seen) < 90 {
			t.Errorf("100 openings took only %d different times, want jitter, at the cap too", len(seen))
		}
	})
}

func TestOpenTimeStartsOverOnceClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		trip(t, p)
		for range 5 {
			sleepUntilHalfOpen(t, p)
			_ = p.Do(t.Context(), orders, fail)
		}
		sleepUntilHalfOpen(t, p)
		_ = repeat(t, 3, p, succeed)
		wantState(t, p, breaker.Closed, "after three probes")
		trip(t, p)
		if got, _ := policy.RetryAfter(p.Do(t.Context(), orders, succeed)); got != 5*time.Second {
			t.Errorf("open for %v, want 5s again", got)
		}
	})
}

func TestOpenTimeMayBeConstant(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{OpenFor: time.Second, MaxOpenFor: time.Second})
		trip(t, p)
		for range 10 {
			if got, _ := policy.RetryAfter(p.Do(t.Context(), orders, succeed)); got != time.Second {
				t.Errorf("open for %v, want 1s", got)
			}
			time.Sleep(time.Second)
			_ = p.Do(t.Context(), orders, fail)
		}
	})
}

func TestAtMostNProbesRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{Probes: 4})
		trip(t, p)
		sleepUntilHalfOpen(t, p)
		var ran, rejected atomic.Int64
		for range 50 {
			go func() {
				err := p.Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
					ran.Add(1)
					return after(time.Second, nil)(ctx, call)
				})
				if errors.Is(err, breaker.ErrOpen) {
					rejected.Add(1)
				}
			}()
		}
		synctest.Wait()
		if ran.Load() != 4 || rejected.Load() != 46 {
			t.Errorf("%d of 50 calls probe and %d are rejected, want 4 and 46", ran.Load(), rejected.Load())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantState(t, p, breaker.Closed, "after all probes")
	})
}

// Real goroutines, for the race detector and for contention.
func TestAtMostNProbesRunAtOnce(t *testing.T) {
	for range 20 {
		p := breaker.New(breaker.Config{OpenFor: time.Millisecond})
		trip(t, p)
		for p.State(orders.Key) == breaker.Open {
			runtime.Gosched()
		}
		var ran atomic.Int64
		start, end := make(chan struct{}), make(chan struct{})
		var wg, rejected sync.WaitGroup
		rejected.Add(47)
		for range 50 {
			wg.Go(func() {
				<-start
				err := p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
					ran.Add(1)
					<-end
					return nil
				})
				if err != nil {
					rejected.Done()
				}
			})
		}
		close(start)
		rejected.Wait()
		close(end)
		wg.Wait()
		if got := ran.Load(); got != 3 {
			t.Errorf("%d calls probed, want 3", got)
		}
	}
}

// bricks reports, as an error of t, whether a half-open circuit of which all
// probes have ended as next does can still close.
func bricks(t *testing.T, p *breaker.Policy, probe func()) {
	t.Helper()
	trip(t, p)
	sleepUntilHalfOpen(t, p)
	for range 10 {
		probe()
		wantState(t, p, breaker.HalfOpen, "after a probe that says nothing")
	}
	for range 3 {
		wantPasses(t, p, "probe")
	}
	wantState(t, p, breaker.Closed, "after three good probes")
}

func TestPanickingProbeDoesNotBrickTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		bricks(t, p, func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("recover() = %v, want the panic of the call", got)
				}
			}()
			_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { panic("boom") })
		})
	})
}

func TestGoexitInAProbeDoesNotBrickTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		bricks(t, p, func() {
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
					runtime.Goexit()
					return nil
				})
				t.Error("Do() returned, want Goexit to pass")
			})
			wg.Wait()
		})
	})
}

func TestCanceledProbeIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		bricks(t, p, func() { // As a hedge does that has lost.
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			_ = p.Do(ctx, orders, after(time.Hour, nil))
		})
	})
}

func TestPanicsAndGoexitSayNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{ConsecutiveFailures: 1})
		for range 100 {
			func() {
				defer func() { _ = recover() }()
				_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { panic("boom") })
			}()
		}
		wantState(t, p, breaker.Closed, "after panics")
	})
}

func TestHungProbesDoNotBrickTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		trip(t, p)
		sleepUntilHalfOpen(t, p)
		var hung atomic.Int64
		end := make(chan struct{})
		hang := func() {
			for range 50 {
				go func() {
					_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
						hung.Add(1)
						<-end
						return errDown
					})
				}()
			}
			synctest.Wait()
		}
		hang()
		time.Sleep(30*time.Second - 1)
		wantRejected(t, p, "before ProbeTimeout")
		hang()
		if got := hung.Load(); got != 3 {
			t.Errorf("%d probes hang before ProbeTimeout, want 3", got)
		}
		time.Sleep(time.Nanosecond)
		hang()
		if got := hung.Load(); got != 6 {
			t.Errorf("%d probes hang after ProbeTimeout, want 6", got)
		}
		time.Sleep(30 * time.Second)
		for range 3 {
			wantState(t, p, breaker.HalfOpen, "while probes hang")
			wantPasses(t, p, "after ProbeTimeout")
		}
		wantState(t, p, breaker.Closed, "after three good probes")

		close(end)
		synctest.Wait()
		wantState(t, p, breaker.Closed, "after the hung probes have failed at last")
	})
}

func TestFirstResultOfAProbesPlaceCounts(t *testing.T) {
	tests := []struct {
		name          string
		first, second error // The first call has hung for a while when the second takes its place.
		before, after breaker.State
	}{
		{"success", nil, errDown, breaker.Closed, breaker.Closed},
		{"failure", errDown, nil, breaker.Open, breaker.Open},
		{"nothing, then success", context.Canceled, nil, breaker.HalfOpen, breaker.Closed},
		{"nothing, then failure", context.Canceled, errDown, breaker.HalfOpen, breaker.Open},
		{"nothing twice", context.Canceled, context.Canceled, breaker.HalfOpen, breaker.HalfOpen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(breaker.Config{Probes: 1})
				trip(t, p)
				sleepUntilHalfOpen(t, p)
				go func() { _ = p.Do(t.Context(), orders, after(31*time.Second, tt.first)) }()
				time.Sleep(30 * time.Second)
				go func() { _ = p.Do(t.Context(), orders, after(2*time.Second, tt.second)) }()
				time.Sleep(1500 * time.Millisecond)
				wantState(t, p, tt.before, "after the first result")
				if tt.before == breaker.HalfOpen {
					wantRejected(t, p, "while the second is under way")
				}
				time.Sleep(time.Second)
				wantState(t, p, tt.after, "after the second result")
				if tt.after == breaker.HalfOpen {
					wantPasses(t, p, "probe")
					wantState(t, p, breaker.Closed, "after a good probe")
				}
			})
		})
	}
}

func TestAProbesPlaceCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{Probes: 3})
		trip(t, p)
		sleepUntilHalfOpen(t, p)
		for range 2 {
			wantPasses(t, p, "probe")
		}
		go func() { _ = p.Do(t.Context(), orders, after(time.Hour, nil)) }()
		time.Sleep(30 * time.Second)
		go func() { _ = p.Do(t.Context(), orders, after(time.Hour, nil)) }()
		synctest.Wait()
		wantRejected(t, p, "the only place that was free is taken again")

		q := breaker.New(breaker.Config{Probes: 2})
		trip(t, q)
		sleepUntilHalfOpen(t, q)
		go func() { _ = q.Do(t.Context(), orders, after(32*time.Second, nil)) }()
		synctest.Wait()
		go func() { _ = q.Do(t.Context(), orders, after(time.Hour, nil)) }()
		time.Sleep(30 * time.Second)
		go func() { _ = q.Do(t.Context(), orders, after(3*time.Second, nil)) }()
		time.Sleep(10 * time.Second)
		wantState(t, q, breaker.HalfOpen, "two calls have succeeded in the same place")
	})
}

// Calls that always take longer than ProbeTimeout can still close the circuit.
func TestLongProbesCloseTheCircuit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{ProbeTimeout: time.Second})
		trip(t, p)
		sleepUntilHalfOpen(t, p)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = p.Do(t.Context(), orders, after(time.Minute, nil)) })
			time.Sleep(time.Second / 4)
		}
		wg.Wait()
		wantState(t, p, breaker.Closed, "after long probes")
	})
}

func TestLateProbesDoNotMoveTheState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		r := &recorder{}
		trip(t, p)
		sleepUntilHalfOpen(t, p)
		for range 2 {
			go func() { _ = p.Do(t.Context(), r.call(orders), after(time.Minute, nil)) }()
		}
		synctest.Wait()
		r.want(t, "first probe", "breaker.half_opened state=open new_state=half_open")
		_ = p.Do(t.Context(), orders, fail)
		sleepUntilHalfOpen(t, p)
		_ = repeat(t, 2, p, succeed)
		time.Sleep(time.Minute)
		synctest.Wait()
		wantState(t, p, breaker.HalfOpen, "two good probes now, and two of a time before")
		r.want(t, "late probes")
	})
}

func TestStateIsTrueWithoutTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		trip(t, p)
		time.Sleep(5*time.Second - 1)
		wantState(t, p, breaker.Open, "before the time")
		time.Sleep(time.Nanosecond)
		wantState(t, p, breaker.HalfOpen, "after the time")
		wantPasses(t, p, "after the time")
	})
}
