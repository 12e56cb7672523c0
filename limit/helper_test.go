package limit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/policy"
)

var (
	errDown = errors.New("down")
	errBusy = policy.WithClass(errors.New("busy"), policy.Throttled)
)

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func succeed(context.Context, policy.Call) error { return nil }

// after returns an operation that takes some time and ends with err.
func after(d time.Duration, err error) policy.Handler {
	return func(context.Context, policy.Call) error {
		time.Sleep(d)
		return err
	}
}

// hold has n calls in flight, or as many as may be, until the function that it returns is
// called.
func hold(t *testing.T, n int, p *limit.Policy, call policy.Call) (release func()) {
	t.Helper()
	released := make(chan struct{})
	for range n {
		go func() {
			_ = p.Do(t.Context(), call, func(context.Context, policy.Call) error {
				<-released
				return nil
			})
		}()
	}
	synctest.Wait()
	return func() {
		close(released)
		synctest.Wait()
	}
}

// room returns how many more calls may be in flight.
func room(t *testing.T, p *limit.Policy) (n int) {
	t.Helper()
	var nested func(context.Context, policy.Call) error
	nested = func(ctx context.Context, _ policy.Call) error {
		n++
		if err := p.Do(ctx, orders, nested); err != nil && !errors.Is(err, limit.ErrExceeded) {
			return err
		}
		return policy.ErrRejected // which is ignored
	}
	_ = p.Do(t.Context(), orders, nested)
	return n
}

// A recorder keeps what is said of calls.
type recorder struct{ said []string }

func (r *recorder) Emit(_ context.Context, event policy.Event) {
	r.said = append(r.said, strings.TrimSpace(fmt.Sprint(event.Name, " ", event.Attrs)))
}

func (r *recorder) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (r *recorder) Outcome(_ context.Context, outcome string) { r.said = append(r.said, outcome) }
func (r *recorder) Note(_ context.Context, attr slog.Attr)    { r.said = append(r.said, attr.String()) }

// want checks what was said since the last time.
func (r *recorder) want(t *testing.T, when string, want ...string) {
	t.Helper()
	if !slices.Equal(r.said, want) {
		t.Errorf("%s: said %q, want %q", when, r.said, want)
	}
	r.said = nil
}
