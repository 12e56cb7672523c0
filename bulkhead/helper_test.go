package bulkhead_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/policy"
)

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func succeed(context.Context, policy.Call) error { return nil }

// takes returns an operation that takes d, and does not care for its context.
func takes(d time.Duration) policy.Handler {
	return func(context.Context, policy.Call) error {
		time.Sleep(d)
		return nil
	}
}

// within returns a context with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// occupy has n calls run for d, or wait for that, and returns when they do.
func occupy(t *testing.T, p policy.Policy, n int, d time.Duration) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := p.Do(ctx, orders, takes(d)); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		})
	}
	synctest.Wait()
	t.Cleanup(wg.Wait)
}

// wantGauges checks how many slots are taken and how many calls wait.
func wantGauges(t *testing.T, p *bulkhead.Policy, when string, inUse, waiting int) {
	t.Helper()
	got := ""
	for g := range p.Gauges() {
		got += fmt.Sprintf("%s %v %s, ", g.Name, g.Value, g.Unit)
	}
	if want := fmt.Sprintf("in_use %d {slot}, waiting %d {call}, ", inUse, waiting); got != want {
		t.Errorf("%s: Gauges() = %s want %s", when, got, want)
	}
}

// A recorder keeps what the policy says about calls.
type recorder struct {
	panics string // what it panics at

	mu   sync.Mutex
	said []string
}

func (r *recorder) say(text string, attrs []slog.Attr) {
	for _, attr := range attrs {
		text += " " + attr.String()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
	if r.panics != "" && strings.HasPrefix(text, r.panics) {
		panic(text)
	}
}

// Emit implements [policy.Recorder].
func (r *recorder) Emit(_ context.Context, event policy.Event) { r.say(event.Name, event.Attrs) }

// Outcome is behind [policy.Call.Outcome].
func (r *recorder) Outcome(_ context.Context, outcome string) { r.say(outcome, nil) }

// Step implements [policy.Recorder].
func (r *recorder) Step(ctx context.Context, _ policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	r.say(name, attrs)
	return ctx, func(error) { r.say(name+" ended", nil) }
}
