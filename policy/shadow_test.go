package policy_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

// A breaker that nobody has relied on yet is watched first.
func ExampleShadow() {
	guard := breaker.New(breaker.Config{ConsecutiveFailures: 2})
	p := pipeline.Must(pipeline.New("stock", policy.Shadow(guard))).
		WithObserver(func(_ context.Context, event policy.Event) { fmt.Println("  event:", event.Name) })

	for range 3 {
		_, err := pipeline.Run(context.Background(), p, "stock.get", func(context.Context) (int, error) {
			return 0, errors.New("connection reset")
		})
		fmt.Println(err)
	}
	// Output:
	// connection reset
	//   event: breaker.opened
	// connection reset
	//   event: breaker.would_have_rejected
	// connection reset
}

var errDown = errors.New("down")

func down(context.Context, policy.Call) error { return errDown }
func up(context.Context, policy.Call) error   { return nil }

func TestShadowConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		return policy.Shadow(breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Millisecond, Probes: 1}))
	})
}

func TestShadowLetsPassWhatWouldHaveBeenRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 2, OpenFor: time.Second, Probes: 1})
		p := policy.Shadow(guard)
		for i := range 10 {
			if err := p.Do(t.Context(), policy.Call{}, down); !errors.Is(err, errDown) || errors.Is(err, policy.ErrRejected) {
				t.Errorf("call %d: Do() = %v, want the operation's own %v", i+1, err, errDown)
			}
		}
		if got := guard.State(""); got != breaker.Open {
			t.Errorf("State() = %v, want %v", got, breaker.Open)
		}
		if err := guard.Do(t.Context(), policy.Call{}, up); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("Do() of the policy itself = %v, want %v", err, breaker.ErrOpen)
		}
	})
}

// The operation fails and recovers in the same way for both, so both go through the
// same states at the same times.
func TestShadowDecidesAsThePolicyWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := breaker.Config{ConsecutiveFailures: 3, OpenFor: time.Second, MaxOpenFor: time.Second, Probes: 2}
		obeyed, watched := breaker.New(config), breaker.New(config)
		p := policy.Shadow(watched)
		rejected, states := 0, make(map[breaker.State]int)
		for i := range 1000 {
			next := up
			if i/100%2 == 1 { // an outage of ten seconds
				next = down
			}
			r := new(recorder)
			want := obeyed.Do(t.Context(), policy.Call{}, next)
			_ = p.Do(t.Context(), policy.Call{}.WithRecorder(r), next)
			would := slices.ContainsFunc(r.said, func(s string) bool { return strings.HasPrefix(s, "breaker.would_have_rejected") })
			if got := errors.Is(want, breaker.ErrOpen); got != would || obeyed.State("") != watched.State("") {
				t.Fatalf("call %d: rejected %v in state %v, would have been %v in %v", i, got, obeyed.State(""), would, watched.State(""))
			}
			if would {
				rejected++
			}
			states[obeyed.State("")]++
			time.Sleep(100 * time.Millisecond)
		}
		if rejected == 0 || len(states) != 3 {
			t.Errorf("%d calls were rejected in states %v, want some and all three", rejected, states)
		}
	})
}

func TestShadowTellsWhatItWouldHaveDone(t *testing.T) {
	r := &outcomes{}
	guard := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Hour})
	call := policy.Call{}.WithRecorder(r)
	p := policy.Shadow(guard)
	_ = p.Do(t.Context(), call, down)
	guard.ForceOpen("")
	_ = p.Do(t.Context(), call, up)
	got := strings.Join(r.said, "\n")
	want := `breaker.opened[state=closed new_state=open transition.reason=consecutive_failures open_for=1h0m0s shadow=true]
outcome failure
outcome would_have_rejected
breaker.would_have_rejected[state=open shadow=true]`
	if got != want {
		t.Errorf("recorder heard\n%s\nwant\n%s", got, want)
	}
}

// outcomes is a recorder that hears outcomes too.
type outcomes struct{ recorder }

func (r *outcomes) Outcome(_ context.Context, outcome string) { r.say("outcome " + outcome) }

// What others have refused further in is not for the shadow to overrule.
func TestShadowLeavesOthersRefusalsAlone(t *testing.T) {
	r := new(recorder)
	calls := 0
	err := policy.Shadow(breaker.New(breaker.Config{})).Do(t.Context(), policy.Call{}.WithRecorder(r), func(context.Context, policy.Call) error {
		calls++
		return policy.ErrRejected
	})
	if !errors.Is(err, policy.ErrRejected) || calls != 1 || len(r.said) != 0 {
		t.Errorf("Do() = %v after %d calls, told %q, want the rejection after 1 and nothing told", err, calls, r.said)
	}
}

// What is no refusal stays an error: the caller has left, or the policy is unusable.
func TestShadowIsForRefusalsOnly(t *testing.T) {
	for _, want := range []error{context.Canceled, errDown, policy.WithClass(errDown, policy.Permanent)} {
		failing := policy.New("failing", func(context.Context, policy.Call, policy.Handler) error { return want })
		if err := policy.Shadow(failing).Do(t.Context(), policy.Call{}, up); !errors.Is(err, want) {
			t.Errorf("Do() = %v, want %v", err, want)
		}
	}
}

// A policy needs no more than an error that matches ErrRejected.
func TestShadowOfAPolicyThatSaysNothing(t *testing.T) {
	silent := policy.New("silent", func(context.Context, policy.Call, policy.Handler) error {
		return fmt.Errorf("no: %w", policy.ErrRejected)
	})
	r := new(recorder)
	err := policy.Shadow(silent).Do(t.Context(), policy.Call{}.WithRecorder(r), up)
	if want := []string{"silent.would_have_rejected[shadow=true]"}; err != nil || !slices.Equal(r.said, want) {
		t.Errorf("Do() = %v, told %q, want nil, %q", err, r.said, want)
	}
}

// The events of a policy may be called otherwise than its spans.
func TestShadowKeepsTheNameOfThePackage(t *testing.T) {
	r := new(recorder)
	limit := policy.New("rate limit", func(ctx context.Context, call policy.Call, _ policy.Handler) error {
		call.Emit(ctx, "ratelimit.rejected", slog.Int("n", 1))
		return policy.ErrRejected
	})
	err := policy.Shadow(limit).Do(t.Context(), policy.Call{}.WithRecorder(r), up)
	if want := []string{"ratelimit.would_have_rejected[n=1 shadow=true]"}; err != nil || !slices.Equal(r.said, want) {
		t.Errorf("Do() = %v, told %q, want nil, %q", err, r.said, want)
	}
}

// The policies further in speak for themselves.
func TestShadowIsNotInheritedFurtherIn(t *testing.T) {
	r := new(recorder)
	inner := policy.New("inner", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		call.Emit(ctx, "inner.rejected", slog.Int("n", 1))
		return next(ctx, call)
	})
	_ = policy.Shadow(breaker.New(breaker.Config{})).Do(t.Context(), policy.Call{}.WithRecorder(r), func(ctx context.Context, call policy.Call) error {
		if call.Recorder() != policy.Recorder(r) {
			t.Errorf("the operation's call speaks to %T, want that of the caller", call.Recorder())
		}
		return inner.Do(ctx, call, up)
	})
	if want := []string{"inner.rejected[n=1]"}; !slices.Equal(r.said, want) {
		t.Errorf("told %q, want %q", r.said, want)
	}
}

func TestShadowIsOfTheSameKind(t *testing.T) {
	guard := breaker.New(breaker.Config{Name: "orders-api", Probes: -1})
	p := policy.Shadow(guard).(interface {
		policy.Policy
		Type() string
		Validate() error
		Gauges() iter.Seq[policy.Gauge]
		Unwrap() policy.Policy
	})
	if p.Name() != "orders-api" || p.Type() != "breaker" || p.Validate() == nil || p.Unwrap() != policy.Policy(guard) {
		t.Errorf("Name() = %q, Type() = %q, Validate() = %v, Unwrap() = %v, want those of the breaker", p.Name(), p.Type(), p.Validate(), p.Unwrap())
	}
	if got := len(slices.Collect(p.Gauges())); got != 3 {
		t.Errorf("%d gauges, want the breaker's 3", got)
	}
	plain := policy.Shadow(policy.New("plain", nil)).(interface {
		Type() string
		Gauges() iter.Seq[policy.Gauge]
	})
	if plain.Type() != "plain" || len(slices.Collect(plain.Gauges())) != 0 {
		t.Errorf("Type() = %q, want plain, and no gauges", plain.Type())
	}
	if got := policy.Shadow(nil); got != nil {
		t.Errorf("Shadow(nil) = %v, want nil", got)
	}
}

// Probes are given back in shadow as in earnest.
func TestShadowGivesProbesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 1, OpenFor: time.Second, Probes: 1})
		p := policy.Shadow(guard)
		_ = p.Do(t.Context(), policy.Call{}, down)
		time.Sleep(2 * time.Second)
		for _, leave := range []func(){func() { panic("test") }, runtime.Goexit} {
			var wg sync.WaitGroup
			wg.Go(func() {
				defer func() { _ = recover() }()
				_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
					leave()
					return nil
				})
			})
			wg.Wait()
		}
		if err := p.Do(t.Context(), policy.Call{}, up); err != nil || guard.State("") != breaker.Closed {
			t.Errorf("Do() = %v in state %v, want nil in %v", err, guard.State(""), breaker.Closed)
		}
	})
}

func TestShadowCostsLittle(t *testing.T) {
	p, ctx := policy.Shadow(policy.New("pass", func(ctx context.Context, call policy.Call, next policy.Handler) error { return next(ctx, call) })), t.Context()
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, policy.Call{}, up) }); got > 2 {
		t.Errorf("Do() makes %v allocations, want at most 2", got)
	}
}
