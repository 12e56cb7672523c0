package retry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

var errTest = errors.New("test")

// An asking error is throttled and asks for time.
type asking struct {
	after    time.Duration
	noEffect bool
}

func (asking) Error() string                       { return "too many" }
func (asking) Class() policy.Class                 { return policy.Throttled }
func (a asking) RetryAfter() (time.Duration, bool) { return a.after, true }
func (a asking) NoEffect() bool                    { return a.noEffect }

// final is an error after which the call cannot be made again.
type final struct{ error }

func (final) Final() bool { return true }

// A recorder notes the events and steps of a call, with the time of each since
// it was made.
type recorder struct {
	mu    sync.Mutex
	start time.Time
	said  []string
}

func record(call policy.Call) (policy.Call, *recorder) {
	r := &recorder{start: time.Now()}
	return call.WithRecorder(r), r
}

func (r *recorder) Emit(_ context.Context, e policy.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprint(time.Since(r.start), " ", e.Name)
	for _, attr := range e.Attrs {
		text += " " + attr.String()
	}
	r.said = append(r.said, text)
}

func (r *recorder) Step(ctx context.Context, _ policy.Call, name string, _ []slog.Attr) (context.Context, func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprint(time.Since(r.start), " ", name))
	return ctx, func(error) {}
}

// failing returns an operation that fails with errs, one after the other, and
// then succeeds. It counts its calls.
func failing(calls *int, errs ...error) policy.Handler {
	return func(context.Context, policy.Call) error {
		*calls++
		if *calls <= len(errs) {
			return errs[*calls-1]
		}
		return nil
	}
}

func TestConformance(t *testing.T) {
	for _, config := range []retry.Config{
		{},
		{Jitter: retry.NoJitter, InitialInterval: time.Minute, ThrottledInterval: time.Minute},
		{MaxAttempts: 1, Budget: retry.Unlimited},
	} {
		policytest.Run(t, func() policy.Policy { return retry.New(config) })
	}
}

func TestRefusalsOfTheFirstAttempt(t *testing.T) {
	refused := policy.WithClass(errTest, policy.Rejected)
	p := retry.New(retry.Config{})
	do := func(ctx context.Context, call policy.Call, refused error) error {
		calls := 0
		err := p.Do(ctx, call, failing(&calls, refused))
		if calls != 1 || !errors.Is(err, refused) {
			t.Errorf("Do() = %v after %d calls, want %v after 1", err, calls, refused)
		}
		return err
	}
	call, r := record(policy.Call{})
	first := do(t.Context(), call, refused)
	if len(r.said) != 1 || !strings.HasSuffix(r.said[0], "retry.aborted attempts=1 reason=class") {
		t.Errorf("policy said %q, want why there was no other attempt", r.said)
	}
	if again := do(t.Context(), policy.Call{}, refused); again != first {
		t.Errorf("Do() = %v for the same refusal, want the same error", again)
	}
	if other := do(t.Context(), policy.Call{}, policy.WithClass(errTest, policy.Rejected)); other == first {
		t.Errorf("Do() = %v for another refusal, want another error", other)
	}
	for _, each := range []string{"a", "b"} {
		if err := do(t.Context(), policy.Call{}, uncomparable{each}); err == nil {
			t.Error("Do() = nil, want the refusal")
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := do(ctx, policy.Call{}, refused)
	if e, ok := errors.AsType[*retry.Error](err); !ok || e.Reason != retry.ReasonCanceled {
		t.Errorf("Do() of a caller who has left = %v, want reason %q", err, retry.ReasonCanceled)
	}
}

// An uncomparable error is a refusal that == panics for.
type uncomparable []string

func (u uncomparable) Error() string       { return u[0] }
func (u uncomparable) Class() policy.Class { return policy.Rejected }
func (u uncomparable) Is(target error) bool {
	other, ok := target.(uncomparable)
	return ok && other[0] == u[0]
}

func TestWhatIsRetried(t *testing.T) {
	of := func(class policy.Class) error { return policy.WithClass(errTest, class) }
	tests := []struct {
		name        string
		err         error
		calls, once int // how often a call, and a Once call, are made
		reason      retry.Reason
	}{
		{"unknown", errTest, 3, 1, retry.ReasonAttempts},
		{"transient", of(policy.Transient), 3, 1, retry.ReasonAttempts},
		{"throttled", of(policy.Throttled), 3, 1, retry.ReasonAttempts},
		{"throttled before effect", asking{noEffect: true}, 3, 3, retry.ReasonAttempts},
		{"not sent", of(policy.NotSent), 3, 3, retry.ReasonAttempts},
		{"unauthenticated", of(policy.Unauthenticated), 1, 1, retry.ReasonClass},
		{"permanent", of(policy.Permanent), 1, 1, retry.ReasonClass},
		{"canceled", of(policy.Canceled), 1, 1, retry.ReasonClass},
		{"rejected", of(policy.Rejected), 1, 1, retry.ReasonClass},
		{"final", final{errTest}, 1, 1, retry.ReasonOnce},
		{"timeout of an attempt", context.DeadlineExceeded, 3, 1, retry.ReasonAttempts},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := retry.New(retry.Config{})
				for _, once := range []bool{false, true} {
					want, calls := tt.calls, 0
					if once {
						want = tt.once
					}
					err := p.Do(t.Context(), policy.Call{Once: once}, failing(&calls, tt.err, tt.err, tt.err))
					if calls != want || !errors.Is(err, tt.err) {
						t.Errorf("once %v: %d calls, error %v, want %d calls and %v", once, calls, err, want, tt.err)
					}
					e, ok := errors.AsType[*retry.Error](err)
					if !ok || e.Attempts != want || !once && e.Reason != tt.reason {
						t.Errorf("once %v: error is %#v, want a *retry.Error after %d attempts", once, err, want)
					}
					if got := errors.Is(err, retry.ErrExhausted); got != (want == 3) {
						t.Errorf("once %v: errors.Is(%v, %v) = %v", once, err, retry.ErrExhausted, got)
					}
				}
			})
		})
	}
}

func TestIfDecides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := retry.New(retry.Config{If: func(err error) bool { return errors.Is(err, io.EOF) }})
		for _, tt := range []struct {
			err   error
			once  bool
			calls int
		}{
			{policy.WithClass(io.EOF, policy.Permanent), false, 3},
			{errTest, false, 1},
			{io.EOF, true, 1},
			{final{io.EOF}, false, 1},
		} {
			calls := 0
			_ = p.Do(t.Context(), policy.Call{Once: tt.once}, failing(&calls, tt.err, tt.err, tt.err))
			if calls != tt.calls {
				t.Errorf("%v, once %v: %d calls, want %d", tt.err, tt.once, calls, tt.calls)
			}
		}
	})
}

func TestEveryDecisionIsTold(t *testing.T) {
	of := func(class policy.Class) error { return policy.WithClass(errTest, class) }
	broke := retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1e-9})
	tests := []struct {
		name   string
		config retry.Config
		limit  time.Duration
		once   bool
		errs   []error
		want   string
	}{
		{"success", retry.Config{}, 0, false, nil, ""},
		{"recovered", retry.Config{}, 0, false, []error{io.EOF, asking{after: 10 * time.Second}}, `
0s backoff after eof
0s retry.scheduled delay=100ms delay.source=backoff reason=eof next_attempt=2
100ms backoff after _OTHER
100ms retry.scheduled delay=10s delay.source=retry_after reason=_OTHER next_attempt=3
10.1s retry.recovered attempts=3`},
		{"attempts", retry.Config{MaxAttempts: 2}, 0, false, []error{io.EOF, io.EOF}, `
0s backoff after eof
0s retry.scheduled delay=100ms delay.source=backoff reason=eof next_attempt=2
100ms retry.exhausted attempts=2 reason=attempts`},
		{"class", retry.Config{}, 0, false, []error{of(policy.Permanent)}, `
0s retry.aborted attempts=1 reason=class`},
		{"once", retry.Config{}, 0, true, []error{io.EOF}, `
0s retry.aborted attempts=1 reason=once`},
		{"budget", retry.Config{Budget: broke}, 0, false, []error{io.EOF}, `
0s retry.aborted attempts=1 reason=budget`},
		{"deadline before the next attempt", retry.Config{}, 250 * time.Millisecond, false, []error{io.EOF, io.EOF}, `
0s backoff after eof
0s retry.scheduled delay=100ms delay.source=backoff reason=eof next_attempt=2
100ms retry.aborted attempts=2 reason=deadline`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				tt.config.Jitter = retry.NoJitter
				call, r := record(policy.Call{Once: tt.once})
				calls := 0
				_ = retry.New(tt.config).Do(ctx, call, failing(&calls, tt.errs...))
				if got, want := strings.Join(r.said, "\n"), strings.TrimPrefix(tt.want, "\n"); got != want {
					t.Errorf("policy said\n%s\nwant\n%s", got, want)
				}
			})
		})
	}
}

func TestDoesNotWaitBeyondTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		calls, start := 0, time.Now()
		err := retry.New(retry.Config{Jitter: retry.NoJitter}).Do(ctx, policy.Call{}, failing(&calls, asking{after: 5 * time.Second}))
		e, ok := errors.AsType[*retry.Error](err)
		if took := time.Since(start); took != 0 || !ok || e.Reason != retry.ReasonDeadline || !errors.Is(err, asking{after: 5 * time.Second}) {
			t.Errorf("Do() = %v after %v, want the last error at once, and the deadline as reason", err, took)
		}
	})
}

func TestWaitEndsWithTheCaller(t *testing.T) {
	errLeft := errors.New("left")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer time.AfterFunc(time.Second, func() { cancel(errLeft) }).Stop()
		calls, start := 0, time.Now()
		err := retry.New(retry.Config{}).Do(ctx, policy.Call{}, failing(&calls, io.EOF, asking{after: time.Hour}))
		e, ok := errors.AsType[*retry.Error](err)
		if took := time.Since(start); took != time.Second || !ok || e.Reason != retry.ReasonCanceled || e.Attempts != 2 {
			t.Errorf("Do() = %v after %v, want it canceled after 1s and 2 attempts", err, took)
		}
		if !errors.Is(err, asking{after: time.Hour}) || !errors.Is(err, errLeft) || policy.ClassOf(err) != policy.Canceled {
			t.Errorf("error is %v of class %v, want the last failure and the cause of the end, of class %v", err, policy.ClassOf(err), policy.Canceled)
		}
		if got, want := err.Error(), "retry: canceled after 2 attempts: too many; then: left"; got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
	})
}

func TestLastRealFailureOutlivesWhatFollowedIt(t *testing.T) {
	refusal := policy.WithClass(errors.New("circuit open"), policy.Rejected)
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := retry.New(retry.Config{}).Do(t.Context(), policy.Call{}, failing(&calls, io.EOF, refusal))
		e, ok := errors.AsType[*retry.Error](err)
		if !ok || e.Err != io.EOF || e.Attempts != 2 || e.Reason != retry.ReasonClass || !errors.Is(err, refusal) {
			t.Errorf("Do() = %#v, want %v, and %v after it", err, io.EOF, refusal)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		calls = 0
		err = retry.New(retry.Config{}).Do(ctx, policy.Call{}, func(ctx context.Context, _ policy.Call) error {
			if calls++; calls == 1 {
				return io.EOF
			}
			<-ctx.Done()
			return ctx.Err()
		})
		e, ok = errors.AsType[*retry.Error](err)
		if !ok || e.Err != io.EOF || e.Reason != retry.ReasonDeadline || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do() = %v, want %v, and the deadline after it", err, io.EOF)
		}
	})
}

func TestAttemptsTimeoutIsRetriedTheCallersIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		attempt := timeout.New(timeout.Config{Limit: time.Second})
		next := func(ctx context.Context, call policy.Call) error {
			return attempt.Do(ctx, call, func(ctx context.Context, _ policy.Call) error {
				calls++
				<-ctx.Done()
				return ctx.Err()
			})
		}
		if err := retry.New(retry.Config{}).Do(t.Context(), policy.Call{}, next); calls != 3 || !errors.Is(err, timeout.ErrExceeded) {
			t.Errorf("Do() = %v after %d attempts, want 3 that timed out", err, calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		calls = 0
		if err := retry.New(retry.Config{}).Do(ctx, policy.Call{}, next); calls != 1 || errors.Is(err, timeout.ErrExceeded) {
			t.Errorf("Do() = %v after %d attempts, want 1 and the caller's own deadline", err, calls)
		}
	})
}

func TestCanceledCallIsNotTriedAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	err := retry.New(retry.Config{}).Do(ctx, policy.Call{}, func(context.Context, policy.Call) error {
		calls++
		cancel()
		return io.EOF
	})
	if calls != 1 || !errors.Is(err, io.EOF) || !errors.Is(err, context.Canceled) || policy.ClassOf(err) != policy.Canceled || policy.ErrorType(err) != "canceled" {
		t.Errorf("Do() = %v of class %v after %d calls, want it canceled after 1", err, policy.ClassOf(err), calls)
	}
}

// What an attempt has done is not undone by one after it that did nothing.
func TestEffectOfOneAttemptIsThatOfTheCall(t *testing.T) {
	dial := policy.WithClass(errors.New("refused"), policy.NotSent)
	rejected := policy.WithClass(errors.New("open"), policy.Rejected)
	for _, tt := range []struct {
		name string
		errs []error // the last of which ends with the deadline if it is nil
		want bool
	}{
		{"never sent", []error{dial, dial, dial}, true},
		{"throttled before effect", []error{asking{noEffect: true}, dial, dial}, true},
		{"not sent, then rejected", []error{dial, rejected}, true},
		{"rejected, for what an inner retry has sent", []error{dial, &retry.Error{Attempts: 1, Reason: retry.ReasonBudget, Err: io.EOF}}, false},
		{"sent once", []error{io.EOF, dial, dial}, false},
		{"not sent, then sent until the deadline", []error{dial, nil}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				calls := 0
				err := retry.New(retry.Config{}).Do(ctx, policy.Call{}, func(ctx context.Context, _ policy.Call) error {
					if calls++; tt.errs[calls-1] != nil {
						return tt.errs[calls-1]
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if got := policy.NoEffect(err); got != tt.want {
					t.Errorf("NoEffect(%v) = %v, want %v", err, got, tt.want)
				}
				if got := policy.ClassOf(err) == policy.NotSent; got && !tt.want {
					t.Errorf("class of %v is %v, want another", err, policy.NotSent)
				}
			})
		})
	}
}

func TestNestedRetriesMakeAOnceCallOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt, inner, outer := timeout.New(timeout.Config{Limit: time.Second}), retry.New(retry.Config{}), retry.New(retry.Config{})
		calls, effects := 0, 0
		err := outer.Do(t.Context(), policy.Call{Once: true}, func(ctx context.Context, call policy.Call) error {
			return attempt.Do(ctx, call, func(ctx context.Context, call policy.Call) error {
				return inner.Do(ctx, call, func(ctx context.Context, _ policy.Call) error {
					if calls++; calls%2 == 1 {
						return policy.WithClass(errTest, policy.NotSent)
					}
					effects++
					<-ctx.Done()
					return ctx.Err()
				})
			})
		})
		if effects != 1 || !errors.Is(err, timeout.ErrExceeded) {
			t.Errorf("Do() = %v after %d effects, want a timeout after 1", err, effects)
		}
	})
}

func TestAskedForAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		calls := 0
		err := retry.New(retry.Config{}).Do(ctx, policy.Call{}, failing(&calls, asking{after: math.MaxInt64}))
		if e, ok := errors.AsType[*retry.Error](err); calls != 1 || !ok || e.Reason != retry.ReasonDeadline {
			t.Errorf("Do() = %v after %d attempts, want it to end for the deadline after 1", err, calls)
		}
	})
}

func TestError(t *testing.T) {
	err := &retry.Error{Attempts: 1, Reason: retry.ReasonBudget, Err: io.EOF}
	if !errors.Is(err, policy.ErrRejected) || !errors.Is(err, io.EOF) || policy.ClassOf(err) != policy.Rejected || policy.ErrorType(err) != "retry_budget" {
		t.Errorf("%v is of class %v, type %q, want a rejection by the budget that wraps the failure", err, policy.ClassOf(err), policy.ErrorType(err))
	}
	err = &retry.Error{Attempts: 3, Reason: retry.ReasonAttempts, Err: io.EOF}
	if policy.ClassOf(err) != policy.Transient || policy.ErrorType(err) != "eof" || errors.Is(err, policy.ErrRejected) {
		t.Errorf("%v is of class %v, type %q, want those of the failure", err, policy.ClassOf(err), policy.ErrorType(err))
	}
	if got, want := (&retry.Error{Attempts: 1, Reason: retry.ReasonOnce, Err: final{io.EOF}}).Error(), "retry: cannot be repeated after 1 attempt: EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	for reason, want := range map[retry.Reason]string{
		retry.ReasonAttempts: "retry: 3 attempts failed: EOF",
		retry.ReasonDeadline: "retry: no time for more than 3 attempts: EOF",
		retry.ReasonBudget:   "retry: no budget for more than 3 attempts: EOF",
		retry.ReasonOnce:     "retry: not repeated after 3 attempts, which may have taken effect: EOF",
		retry.ReasonCanceled: "retry: canceled after 3 attempts: EOF",
		retry.ReasonClass:    "retry: not retried after 3 attempts (transient): EOF",
	} {
		err := &retry.Error{Attempts: 3, Reason: reason, Err: io.EOF}
		if got := err.Error(); got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		config retry.Config
		want   string
	}{
		{retry.Config{}, ""},
		{retry.Config{InitialInterval: time.Minute}, ""},
		{retry.Config{MaxInterval: time.Millisecond}, ""},
		{retry.Config{MaxAttempts: 1, Multiplier: 1, Budget: retry.Unlimited}, ""},
		{retry.Config{MaxAttempts: -1}, "invalid MaxAttempts -1: want at least 1"},
		{retry.Config{InitialInterval: -time.Second}, "invalid InitialInterval -1s: want more than 0"},
		{retry.Config{MaxInterval: -1}, "invalid MaxInterval -1ns: want at least InitialInterval"},
		{retry.Config{InitialInterval: time.Second, MaxInterval: time.Millisecond}, "invalid MaxInterval 1ms: want at least InitialInterval, 1s"},
		{retry.Config{MaxInterval: 25 * time.Hour}, "invalid MaxInterval 25h0m0s: want at least InitialInterval, 100ms, and at most 24h"},
		{retry.Config{ThrottledInterval: -1}, "invalid ThrottledInterval -1ns"},
		{retry.Config{ThrottledInterval: time.Hour}, "invalid ThrottledInterval 1h0m0s: want more than 0 and at most MaxInterval, 5s"},
		{retry.Config{Multiplier: 0.5}, "invalid Multiplier 0.5: want a finite number of at least 1"},
		{retry.Config{Multiplier: math.NaN()}, "invalid Multiplier NaN"},
		{retry.Config{Multiplier: math.Inf(1)}, "invalid Multiplier +Inf"},
		{retry.Config{Jitter: 9}, "invalid Jitter 9: want FullJitter"},
		{retry.Config{Budget: retry.NewBudget(retry.BudgetConfig{Ratio: -1})}, "invalid Budget.Ratio -1"},
		{retry.Config{Budget: retry.NewBudget(retry.BudgetConfig{MinPerSecond: math.Inf(1)})}, "invalid Budget.MinPerSecond +Inf"},
		{retry.Config{Budget: retry.NewBudget(retry.BudgetConfig{Window: 1})}, "invalid Budget.Window 1ns: want 10ms to 24h"},
	} {
		p := retry.New(tt.config)
		err := p.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Validate() of %+v = %v, want %q", tt.config, err, tt.want)
		}
		if err != nil { // Used all the same, it must not panic or hang.
			calls := 0
			synctest.Test(t, func(t *testing.T) { _ = p.Do(t.Context(), policy.Call{}, failing(&calls, io.EOF)) })
		}
	}
	if err := new(retry.Policy).Validate(); err == nil {
		t.Error("Validate() of a Policy made without New = nil, want an error")
	}
	if err := new(retry.Policy).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("Do() of a Policy made without New = %v, want %v", err, io.EOF)
	}
}

func TestConfigReadsAndWritesAsText(t *testing.T) {
	var got retry.Config
	if err := json.Unmarshal([]byte(`{"max_attempts": 4, "jitter": "equal", "initial_interval": 1000}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.MaxAttempts != 4 || got.Jitter != retry.EqualJitter || got.InitialInterval != 1000 {
		t.Errorf("Config is %+v, want that of the text", got)
	}
	if text, err := json.Marshal(got); err != nil || !strings.Contains(string(text), `"jitter":"equal"`) {
		t.Errorf("Marshal() = %s, %v, want the jitter as text", text, err)
	}
	if err := json.Unmarshal([]byte(`{"jitter": "some"}`), &got); err == nil || !strings.Contains(err.Error(), `"some"`) {
		t.Errorf("Unmarshal() = %v, want an error that names the jitter", err)
	}
	if _, err := retry.Jitter(9).MarshalText(); err == nil {
		t.Error("MarshalText() of an invalid jitter = nil, want an error")
	}
}

// delays returns how long p waits before each attempt of a call.
func delays(t *testing.T, config retry.Config, err error) []time.Duration {
	t.Helper()
	var got []time.Duration
	synctest.Test(t, func(t *testing.T) {
		config.MaxAttempts, config.Budget = 10, retry.Unlimited
		last := time.Now()
		_ = retry.New(config).Do(t.Context(), policy.Call{}, func(_ context.Context, call policy.Call) error {
			if call.Attempt > 1 {
				got = append(got, time.Since(last))
			}
			last = time.Now()
			return err
		})
	})
	return got
}

func TestIntervalsGrowToTheCap(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		config retry.Config
		err    error
		want   []time.Duration
	}{
		{"default", retry.Config{}, io.EOF, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms, 5000 * ms}},
		{"throttled", retry.Config{}, policy.WithClass(io.EOF, policy.Throttled), []time.Duration{1000 * ms, 2000 * ms, 4000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms}},
		{"asked for more", retry.Config{}, asking{after: 2500 * ms}, []time.Duration{2500 * ms, 2500 * ms, 4000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms, 5000 * ms}},
		{"constant", retry.Config{Multiplier: 1}, io.EOF, slices.Repeat([]time.Duration{100 * ms}, 9)},
	} {
		tt.config.Jitter = retry.NoJitter
		if got := delays(t, tt.config, tt.err); !slices.Equal(got, tt.want) {
			t.Errorf("%s: delays are %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestJitterStaysWithinTheCapAndKeepsSpreading(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		jitter   retry.Jitter
		min, max func(i int, before time.Duration) time.Duration
	}{
		{retry.FullJitter, func(int, time.Duration) time.Duration { return 0 }, func(i int, _ time.Duration) time.Duration { return min(5000*ms, 100*ms<<i) }},
		{retry.EqualJitter, func(i int, _ time.Duration) time.Duration { return min(5000*ms, 100*ms<<i) / 2 }, func(i int, _ time.Duration) time.Duration { return min(5000*ms, 100*ms<<i) }},
		{retry.DecorrelatedJitter, func(int, time.Duration) time.Duration { return 100 * ms }, func(_ int, before time.Duration) time.Duration {
			return min(5000*ms, 3*max(before, 100*ms))
		}},
	} {
		var last []time.Duration
		for range 200 {
			got := delays(t, retry.Config{Jitter: tt.jitter}, io.EOF)
			before := time.Duration(0)
			for i, d := range got {
				if low, high := tt.min(i, before), tt.max(i, before); d < low || d > high {
					t.Fatalf("%v: delay %d is %v, want %v to %v", tt.jitter, i, d, low, high)
				}
				before = d
			}
			last = append(last, got[8])
		}
		slices.Sort(last)
		if at := len(last); last[at-1]-last[0] < 1500*ms || last[at*9/10]-last[at/10] < time.Second || len(slices.Compact(last)) < at*9/10 {
			t.Errorf("%v: delays at the cap spread from %v to %v, want them apart", tt.jitter, last[0], last[len(last)-1])
		}
	}
}

func TestJitterNeverComesSoonerThanAskedFor(t *testing.T) {
	for _, jitter := range []retry.Jitter{retry.FullJitter, retry.EqualJitter, retry.DecorrelatedJitter} {
		seen := make(map[time.Duration]bool)
		for range 50 {
			d := delays(t, retry.Config{Jitter: jitter}, asking{after: 10 * time.Second})[0]
			if d < 10*time.Second || d > 11*time.Second {
				t.Fatalf("%v: delay is %v, want 10s and a little more", jitter, d)
			}
			seen[d] = true
		}
		if len(seen) < 40 {
			t.Errorf("%v: 50 clients that were told the same came back at %d different times, want them apart", jitter, len(seen))
		}
	}
}
