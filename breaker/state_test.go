package breaker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestStateString(t *testing.T) {
	for state, want := range map[breaker.State]string{breaker.Closed: "closed", breaker.HalfOpen: "half_open", breaker.Open: "open", 7: "invalid"} {
		if got := state.String(); got != want {
			t.Errorf("State(%d).String() = %q, want %q", state, got, want)
		}
	}
}

func TestForceOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		p.ForceOpen(orders.Key)
		time.Sleep(24 * time.Hour)
		wantState(t, p, breaker.Open, "forced open")
		err := p.Do(t.Context(), orders, succeed)
		if !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("forced open: Do() = %v, want %v", err, breaker.ErrOpen)
		}
		if d, ok := policy.RetryAfter(err); ok {
			t.Errorf("forced open: RetryAfter() = %v, want it unknown", d)
		}
		p.Release(orders.Key)
		wantState(t, p, breaker.Closed, "released")
		wantPasses(t, p, "released")
	})
}

func TestForceClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		trip(t, p)
		p.ForceClosed(orders.Key)
		wantState(t, p, breaker.Closed, "forced closed")
		_ = repeat(t, 100, p, fail)
		wantState(t, p, breaker.Closed, "forced closed, after failures")
		p.Release(orders.Key)
		_ = repeat(t, 4, p, fail)
		wantState(t, p, breaker.Closed, "released: the past is forgotten")
		_ = p.Do(t.Context(), orders, fail)
		wantState(t, p, breaker.Open, "released: five failures")
	})
}

func TestForcedStatesOverrideEachOther(t *testing.T) {
	p := breaker.New(breaker.Config{})
	p.ForceOpen(orders.Key)
	p.ForceClosed(orders.Key)
	wantPasses(t, p, "forced open, then closed")
	p.ForceOpen(orders.Key)
	wantRejected(t, p, "forced open again")
}

func TestReleaseLeavesOtherCircuitsAlone(t *testing.T) {
	p := breaker.New(breaker.Config{})
	p.Release("unknown")
	_ = repeat(t, 4, p, fail)
	p.Release(orders.Key)
	_ = p.Do(t.Context(), orders, fail)
	wantState(t, p, breaker.Open, "five failures")
	p.Release(orders.Key)
	wantState(t, p, breaker.Open, "released but not forced")
}

func TestProbesThatAreUnderWayDoNotMoveAForcedState(t *testing.T) {
	tests := []struct {
		name   string
		probes int
		next   policy.Handler
	}{
		{"last success", 1, after(time.Second, nil)},
		{"first success", 2, after(time.Second, nil)},
		{"failure", 2, after(time.Second, errDown)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(breaker.Config{Probes: tt.probes})
				r := &recorder{}
				trip(t, p)
				sleepUntilHalfOpen(t, p)
				go func() { _ = p.Do(t.Context(), r.call(orders), tt.next) }()
				synctest.Wait()
				r.want(t, "probe begins", "breaker.half_opened state=open new_state=half_open")
				p.ForceOpen(orders.Key)
				time.Sleep(time.Hour)
				wantState(t, p, breaker.Open, "forced open while a probe was under way")
				r.want(t, "probe ends")
			})
		})
	}
}

func TestObserverMayAskForTheState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{Probes: 1})
		want := map[string]breaker.State{
			"breaker.opened":          breaker.Open,
			"breaker.rejected":        breaker.Open,
			"breaker.half_opened":     breaker.HalfOpen,
			"breaker.closed":          breaker.Closed,
			"breaker.probe_succeeded": breaker.Closed,
			"breaker.probe_failed":    breaker.Open,
		}
		seen := make(map[string]bool)
		r := &recorder{observe: func(event policy.Event) {
			seen[event.Name] = true
			wantState(t, p, want[event.Name], "observer of "+event.Name)
			_ = p.Do(t.Context(), orders, neutral) // It may even make a call.
		}}
		call := r.call(orders)
		for range 5 {
			_ = p.Do(t.Context(), call, fail)
		}
		_ = p.Do(t.Context(), call, fail)
		time.Sleep(5 * time.Second)
		_ = p.Do(t.Context(), call, fail)
		time.Sleep(10 * time.Second)
		_ = p.Do(t.Context(), call, succeed)
		for name := range want {
			if !seen[name] {
				t.Errorf("%s was not emitted", name)
			}
		}
	})
}

func TestEventsInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Without growth the time that the circuit is open is exact.
		p := breaker.New(breaker.Config{MaxOpenFor: 5 * time.Second, Probes: 2})
		r := &recorder{}
		do := func(next policy.Handler) { _ = p.Do(t.Context(), r.call(orders), next) }

		for range 100 {
			do(succeed)
		}
		for range 4 {
			do(fail)
		}
		r.want(t, "closed")
		do(fail)
		r.want(t, "fifth failure", "breaker.opened state=closed new_state=open transition.reason=consecutive_failures open_for=5s")
		time.Sleep(2 * time.Second)
		do(succeed)
		r.want(t, "open", "breaker.rejected state=open retry_in=3s")
		time.Sleep(3 * time.Second)
		do(fail)
		r.want(t, "failed probe",
			"breaker.half_opened state=open new_state=half_open",
			"breaker.opened state=half_open new_state=open transition.reason=probe_failed open_for=5s",
			"breaker.probe_failed state=half_open")
		time.Sleep(5 * time.Second)
		do(neutral)
		r.want(t, "probe that says nothing", "breaker.half_opened state=open new_state=half_open")
		do(func(context.Context, policy.Call) error {
			do(func(context.Context, policy.Call) error {
				do(succeed)
				r.want(t, "no room for a third probe", "breaker.rejected state=half_open")
				return nil
			})
			r.want(t, "good probe", "breaker.probe_succeeded state=half_open")
			return nil
		})
		r.want(t, "last good probe",
			"breaker.closed state=half_open new_state=closed",
			"breaker.probe_succeeded state=half_open")
		for range 5 {
			do(succeed)
			do(succeed)
			do(fail)
			do(fail)
		}
		r.want(t, "half of 20 calls", "breaker.opened state=closed new_state=open transition.reason=failure_ratio open_for=5s")

		p.ForceOpen(orders.Key)
		do(succeed)
		r.want(t, "forced open", "breaker.rejected state=open")
	})
}

func TestErrorOfARejectedCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{Probes: 1})
		forced := breaker.New(breaker.Config{})
		forced.ForceOpen("")
		trip(t, p)
		open := p.Do(t.Context(), orders, succeed)
		time.Sleep(3 * time.Second)
		if wait, ok := policy.RetryAfter(open); !ok || wait != 2*time.Second || !strings.Contains(open.Error(), "next probe in 2s") {
			t.Errorf("3 s later, the error is %v, RetryAfter() = %v, %v, want 2s", open, wait, ok)
		}
		sleepUntilHalfOpen(t, p)
		var halfOpen error
		_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
			halfOpen = p.Do(t.Context(), orders, succeed)
			return nil
		})

		tests := []struct {
			err     error
			text    string
			retryIn time.Duration
			known   bool
		}{
			{open, `breaker: circuit open for "orders": next probe in 0s`, 0, true}, // It is half-open by now.
			{halfOpen, `breaker: circuit open for "orders": all probes are under way`, 0, false},
			{forced.Do(t.Context(), policy.Call{}, succeed), `breaker: circuit open: forced`, 0, false},
		}
		for _, tt := range tests {
			err := tt.err
			if err == nil || err.Error() != tt.text {
				t.Errorf("Do() = %v, want %v", err, tt.text)
				continue
			}
			if !errors.Is(err, breaker.ErrOpen) || !errors.Is(err, policy.ErrRejected) || errors.Is(err, policy.ErrUnauthenticated) {
				t.Errorf("%v: does not match just ErrOpen and policy.ErrRejected", err)
			}
			if got := policy.ClassOf(err); got != policy.Rejected {
				t.Errorf("%v: ClassOf() = %v, want %v", err, got, policy.Rejected)
			}
			if got := policy.ErrorType(err); got != "circuit_open" {
				t.Errorf("%v: ErrorType() = %q, want circuit_open", err, got)
			}
			if !policy.NoEffect(err) {
				t.Errorf("%v: NoEffect() = false, want true", err)
			}
			if got, ok := policy.RetryAfter(err); got != tt.retryIn || ok != tt.known {
				t.Errorf("%v: RetryAfter() = %v, %v, want %v, %v", err, got, ok, tt.retryIn, tt.known)
			}
		}
	})
}
