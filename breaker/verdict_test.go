package breaker_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A tooManyError is a 429.
type tooManyError struct{}

func (tooManyError) Error() string       { return "too many requests" }
func (tooManyError) Class() policy.Class { return policy.Throttled }
func (tooManyError) NoEffect() bool      { return true }

// countsAs finds out what the result of a call counts as.
func countsAs(ctx context.Context, t *testing.T, config breaker.Config, next policy.Handler) string {
	t.Helper()
	config.ConsecutiveFailures = 2
	p := breaker.New(config)
	_ = p.Do(t.Context(), orders, fail)
	_ = p.Do(ctx, orders, next)
	if p.State(orders.Key) == breaker.Open {
		return "failure"
	}
	_ = p.Do(t.Context(), orders, fail)
	if p.State(orders.Key) == breaker.Open {
		return "nothing"
	}
	return "success"
}

func TestClassDecides(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{nil, "success"},
		{errDown, "failure"},
		{io.ErrUnexpectedEOF, "failure"},
		{context.DeadlineExceeded, "failure"},
		{policy.WithClass(errDown, policy.Transient), "failure"},
		{policy.WithClass(errDown, policy.Throttled), "failure"},
		{tooManyError{}, "nothing"},
		{fmt.Errorf("get: %w", tooManyError{}), "nothing"},
		{policy.WithClass(errDown, policy.NotSent), "failure"},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "failure"},
		{policy.WithClass(errDown, policy.Unauthenticated), "nothing"},
		{policy.ErrUnauthenticated, "nothing"},
		{policy.WithClass(errDown, policy.Permanent), "success"},
		{policy.WithClass(errDown, policy.Canceled), "nothing"},
		{context.Canceled, "nothing"},
		{policy.WithClass(errDown, policy.Rejected), "nothing"},
		{breaker.ErrOpen, "nothing"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			got := countsAs(t.Context(), t, breaker.Config{}, func(context.Context, policy.Call) error { return tt.err })
			if got != tt.want {
				t.Errorf("counts as %s, want %s", got, tt.want)
			}
		})
	}
}

func TestFailureTakesThePlaceOfTheClass(t *testing.T) {
	config := breaker.Config{Failure: func(err error) bool {
		if policy.ClassOf(err) == policy.Canceled || policy.ClassOf(err) == policy.Rejected {
			t.Errorf("Failure(%v) was asked, want it left out", err)
		}
		return !errors.Is(err, sql.ErrNoRows)
	}}
	tests := []struct {
		err  error
		want string
	}{
		{nil, "success"},
		{errDown, "failure"},
		{fmt.Errorf("user 7: %w", sql.ErrNoRows), "success"},
		{tooManyError{}, "failure"},
		{policy.WithClass(errDown, policy.Permanent), "failure"},
		{policy.ErrUnauthenticated, "failure"},
		{context.Canceled, "nothing"},
		{policy.ErrRejected, "nothing"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			got := countsAs(t.Context(), t, config, func(context.Context, policy.Call) error { return tt.err })
			if got != tt.want {
				t.Errorf("counts as %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCancellationIsNeutral(t *testing.T) {
	// Whatever error comes of it, and whoever decides.
	for _, config := range []breaker.Config{{}, {Failure: func(error) bool { return true }}} {
		for _, err := range []error{context.Canceled, errDown, policy.WithClass(errDown, policy.Permanent)} {
			ctx, cancel := context.WithCancel(t.Context())
			got := countsAs(ctx, t, config, func(context.Context, policy.Call) error { cancel(); return err })
			if got != "nothing" {
				t.Errorf("the caller leaves and the call ends with %v: counts as %s, want nothing", err, got)
			}
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	got := countsAs(ctx, t, breaker.Config{}, func(context.Context, policy.Call) error { cancel(); return nil })
	if got != "success" {
		t.Errorf("the caller leaves and the call succeeds: counts as %s, want success", got)
	}
}

func TestCallsThatAreOverBeforeTheyBeginAreNeutral(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		got := countsAs(ctx, t, breaker.Config{}, func(ctx context.Context, _ policy.Call) error { return ctx.Err() })
		if got != "nothing" {
			t.Errorf("a call without time left counts as %s, want nothing", got)
		}
	})
}

func TestTimeoutsTrip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{})
		for range 5 {
			wantState(t, p, breaker.Closed, "before the fifth timeout")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // The caller's own deadline, longer than the window.
			_ = p.Do(ctx, orders, after(time.Hour, nil))
			cancel()
		}
		wantState(t, p, breaker.Open, "after five timeouts")
	})
}

// A timeout ends later than an answer that began with it. It must not leave the
// window the sooner for that.
func TestTimeoutsWeighAsMuchAsAnswers(t *testing.T) {
	for _, limit := range []time.Duration{9 * time.Second, time.Minute} {
		t.Run(limit.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := breaker.New(breaker.Config{})
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				for i := range 1000 { // Of 10 calls per second every other one hangs.
					next := after(0, nil)
					if i%2 == 0 {
						next = after(limit, context.DeadlineExceeded)
					}
					go func() { _ = p.Do(ctx, orders, next) }()
					time.Sleep(time.Second / 10)
				}
				if p.State(orders.Key) == breaker.Closed {
					t.Error("half of the calls time out and the circuit is closed")
				}
			})
		})
	}
}
