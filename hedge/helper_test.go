package hedge_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// after is the delay of hedges in tests, unless it matters.
const after = 100 * time.Millisecond

var (
	errDown     = errors.New("down")
	errBroken   = errors.New("broken")
	errNotFound = policy.WithClass(errors.New("not found"), policy.Permanent)
	errFull     = policy.WithClass(errors.New("full"), policy.Rejected)
)

// orders is the call that tests make unless it matters.
var orders = policy.Call{Name: "orders.get", Key: "orders"}

func fixed(hedges int) *hedge.Policy {
	return hedge.New(hedge.Config{Delay: after, MaxHedges: hedges, Budget: retry.Unlimited})
}

// An attempt ends with err when it has taken some time.
type attempt struct {
	takes time.Duration
	err   error
}

// attempts returns an operation whose first attempt and hedges go as listed, and that
// heeds its context.
func attempts(list ...attempt) policy.Handler {
	return func(ctx context.Context, call policy.Call) error {
		a := list[call.Hedge]
		if err := policy.Sleep(ctx, a.takes); err != nil {
			return err
		}
		return a.err
	}
}

// lasting is an operation that takes d, and heeds its context.
func lasting(d time.Duration) policy.Handler {
	return func(ctx context.Context, _ policy.Call) error { return policy.Sleep(ctx, d) }
}

func succeed(context.Context, policy.Call) error { return nil }

// A recorder takes down what a policy says.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (r *recorder) Emit(_ context.Context, e policy.Event) {
	r.say(append([]string{e.Name}, texts(e.Attrs)...)...)
}

func (r *recorder) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func (r *recorder) Outcome(_ context.Context, outcome string) { r.say(outcome) }
func (r *recorder) Note(_ context.Context, attr slog.Attr)    { r.say(attr.String()) }
func (r *recorder) String() string                            { return strings.Join(r.said, "; ") }
func (r *recorder) heard(what string) bool                    { return slices.Contains(r.said, what) }

func (r *recorder) say(words ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, strings.Join(words, " "))
}

func texts(attrs []slog.Attr) (texts []string) {
	for _, attr := range attrs {
		texts = append(texts, attr.String())
	}
	return texts
}

// observe makes n calls that take d each.
func observe(t *testing.T, p policy.Policy, call policy.Call, n int, d time.Duration) {
	t.Helper()
	for range n {
		if err := p.Do(t.Context(), call, func(context.Context, policy.Call) error {
			time.Sleep(d)
			return nil
		}); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
	}
}

// learnedDelay returns the delay of the calls like the given one that p has learned,
// or 0.
func learnedDelay(t *testing.T, p policy.Policy, call policy.Call) time.Duration {
	t.Helper()
	r := new(recorder)
	_ = p.Do(t.Context(), call.WithRecorder(r), func(context.Context, policy.Call) error { return errDown }) // teaches nothing
	for _, said := range r.said {
		if text, ok := strings.CutPrefix(said, "delay="); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Error(err)
			}
			return d
		}
	}
	return 0
}

// timed returns what Do has taken, beside its error.
func timed(ctx context.Context, p policy.Policy, call policy.Call, next policy.Handler) (time.Duration, error) {
	start := time.Now()
	err := p.Do(ctx, call, next)
	return time.Since(start), err
}

func wantCall(t *testing.T, took time.Duration, err error, wantTook time.Duration, want error) {
	t.Helper()
	if took != wantTook || !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("Do() = %v after %v, want %v after %v", err, took, want, wantTook)
	}
}
