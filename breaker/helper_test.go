package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

var errDown = errors.New("down")

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func succeed(context.Context, policy.Call) error { return nil }
func fail(context.Context, policy.Call) error    { return errDown }

// after returns an operation that takes some time and ends with err, or with
// the cause of its context.
func after(d time.Duration, err error) policy.Handler {
	return func(ctx context.Context, call policy.Call) error {
		if wait := call.Wait(ctx, d, "test"); wait != nil {
			return wait
		}
		return err
	}
}

// repeat carries out n calls and returns the last error.
func repeat(t *testing.T, n int, p *breaker.Policy, next policy.Handler) (err error) {
	t.Helper()
	for range n {
		err = p.Do(t.Context(), orders, next)
	}
	return err
}

// trip opens the circuit of orders.
func trip(t *testing.T, p *breaker.Policy) {
	t.Helper()
	for range 1000 {
		if p.State(orders.Key) == breaker.Open {
			return
		}
		_ = p.Do(t.Context(), orders, fail)
	}
	t.Fatal("1000 failures did not open the circuit")
}

// sleepUntilHalfOpen sleeps exactly as long as the open circuit asks for.
func sleepUntilHalfOpen(t *testing.T, p *breaker.Policy) {
	t.Helper()
	err := p.Do(t.Context(), orders, succeed)
	d, ok := policy.RetryAfter(err)
	if !ok {
		t.Fatalf("Do() = %v, want an error that says when a probe may pass", err)
	}
	time.Sleep(d)
}

func wantState(t *testing.T, p *breaker.Policy, want breaker.State, when string) {
	t.Helper()
	if got := p.State(orders.Key); got != want {
		t.Errorf("%s: State() = %v, want %v", when, got, want)
	}
}

func wantPasses(t *testing.T, p *breaker.Policy, when string) {
	t.Helper()
	if err := p.Do(t.Context(), orders, succeed); err != nil {
		t.Errorf("%s: Do() = %v, want nil", when, err)
	}
}

func wantRejected(t *testing.T, p *breaker.Policy, when string) {
	t.Helper()
	if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("%s: Do() = %v, want %v", when, err, breaker.ErrOpen)
	}
}

// bubble is synctest.Test for tests that need just a bubble.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

// A recorder keeps the events of the calls that it is given to.
type recorder struct {
	observe func(policy.Event) // if not nil

	mu     sync.Mutex
	events []string
}

func (r *recorder) call(call policy.Call) policy.Call { return call.WithRecorder(r) }

// Emit implements [policy.Recorder].
func (r *recorder) Emit(_ context.Context, event policy.Event) {
	if r.observe != nil {
		r.observe(event)
	}
	var text strings.Builder
	text.WriteString(event.Name)
	for _, attr := range event.Attrs {
		fmt.Fprintf(&text, " %v", attr)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text.String())
}

// Step implements [policy.Recorder].
func (r *recorder) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// want checks what was emitted since the last time.
func (r *recorder) want(t *testing.T, when string, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.events, want) {
		t.Errorf("%s: events\n\t%s\nwant\n\t%s", when, strings.Join(r.events, "\n\t"), strings.Join(want, "\n\t"))
	}
	r.events = nil
}
