package ratelimit_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
)

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func succeed(context.Context, policy.Call) error { return nil }

// within returns a context with a deadline.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// queue has n calls wait, and returns when they do.
func queue(t *testing.T, p *ratelimit.Policy, n int) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	for range n {
		wg.Go(func() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		})
		synctest.Wait()
	}
}

// waiting returns how many calls wait, as the gauge tells.
func waiting(p *ratelimit.Policy) int {
	for g := range p.Gauges() {
		if g.Name == "waiting" && g.Unit == "{call}" {
			return int(g.Value)
		}
	}
	return -1
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
