package throttle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/throttle"
)

var (
	errDown = errors.New("down")
	errBusy = policy.WithClass(errors.New("busy"), policy.Throttled)
)

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func succeed(context.Context, policy.Call) error { return nil }
func refuse(context.Context, policy.Call) error  { return errBusy }
func ignore(context.Context, policy.Call) error  { return policy.ErrRejected }

func failWith(err error) policy.Handler {
	return func(context.Context, policy.Call) error { return err }
}

// repeat carries out n calls and returns how many of them reached the operation.
func repeat(t *testing.T, n int, p *throttle.Policy, next policy.Handler) (sent int) {
	t.Helper()
	for range n {
		_ = p.Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
			sent++
			return next(ctx, call)
		})
	}
	return sent
}

func wantProbability(t *testing.T, p *throttle.Policy, want float64, when string) {
	t.Helper()
	if got := p.Probability(orders.Key); got != want {
		t.Errorf("%s: Probability() = %v, want %v", when, got, want)
	}
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
