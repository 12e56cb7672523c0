package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("test")

// constant has all calls of a name be identical.
func constant(context.Context, policy.Call) string { return "constant" }

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return coalesce.New(coalesce.Config{Key: constant}) })
}

// A group is a pipeline whose calls share executions, and what is known of those.
type group struct {
	*pipeline.Pipeline
	policy   *coalesce.Policy
	executed atomic.Int64
	ended    atomic.Pointer[error] // what the context of the last execution ended with
}

func newGroup(config coalesce.Config) *group {
	g := &group{policy: coalesce.New(config)}
	g.Pipeline = pipeline.Must(pipeline.New("test", g.policy))
	return g
}

// slow takes ten seconds, unless its context ends.
func (g *group) slow(ctx context.Context) (int64, error) {
	n := g.executed.Add(1)
	select {
	case <-time.After(10 * time.Second):
		return n, nil
	case <-ctx.Done():
		err := context.Cause(ctx)
		g.ended.Store(&err)
		return 0, err
	}
}

// run makes a call that takes ten seconds.
func (g *group) run(ctx context.Context) (int64, error) {
	return pipeline.Run(ctx, g.Pipeline, "slow", g.slow)
}

// idle fails t if a call is still counted.
func (g *group) idle(t *testing.T) {
	t.Helper()
	for gauge := range g.policy.Gauges() {
		if gauge.Value != 0 {
			t.Errorf("%s is %v, want 0", gauge.Name, gauge.Value)
		}
	}
}

func TestIdenticalCallsShareAnExecution(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				start := time.Now()
				n, err := g.run(t.Context())
				if want := 10*time.Second - time.Duration(i)*50*time.Millisecond; n != 1 || err != nil || time.Since(start) != want {
					t.Errorf("call %d: got %d, %v after %v, want the first's after %v", i, n, err, time.Since(start), want)
				}
			})
		}
		all.Wait()
		if n, err := g.run(t.Context()); n != 2 || err != nil {
			t.Errorf("later call got %d, %v, want an execution of its own", n, err)
		}
		g.idle(t)
	})
}

func TestFailureIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := pipeline.Run(t.Context(), g.Pipeline, "fail", func(context.Context) (int, error) {
					g.executed.Add(1)
					time.Sleep(time.Second)
					return 0, errTest
				})
				if err != errTest {
					t.Errorf("error is %v, want %v", err, errTest)
				}
			})
		}
		all.Wait()
		if got := g.executed.Load(); got != 1 {
			t.Errorf("%d executions, want 1", got)
		}
	})
}

type tenant struct{}

func TestWhatIsIdentical(t *testing.T) {
	byTenant := func(ctx context.Context, _ policy.Call) string {
		s, _ := ctx.Value(tenant{}).(string)
		return s
	}
	tests := []struct {
		name   string
		config coalesce.Config
		calls  [2]policy.Call
		tenant [2]string
		shared bool
	}{
		{"same", coalesce.Config{Key: byTenant}, [2]policy.Call{}, [2]string{"a", "a"}, true},
		{"other key", coalesce.Config{Key: byTenant}, [2]policy.Call{}, [2]string{"a", "b"}, false},
		{"no key", coalesce.Config{Key: byTenant}, [2]policy.Call{}, [2]string{"", ""}, false},
		{"no function", coalesce.Config{}, [2]policy.Call{}, [2]string{"a", "a"}, false},
		{"other name", coalesce.Config{Key: constant}, [2]policy.Call{{Name: "a"}, {Name: "b"}}, [2]string{"", ""}, false},
		{"other key of the call", coalesce.Config{Key: constant}, [2]policy.Call{{Key: "a"}, {Key: "b"}}, [2]string{"", ""}, false},
		{"once", coalesce.Config{Key: constant}, [2]policy.Call{{Once: true}, {Once: true}}, [2]string{"", ""}, false},
		{"once, but asked for", coalesce.Config{Key: constant, Once: true}, [2]policy.Call{{Once: true}, {Once: true}}, [2]string{"", ""}, true},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			g := newGroup(tt.config)
			var both sync.WaitGroup
			for i := range 2 {
				both.Go(func() {
					ctx := context.WithValue(t.Context(), tenant{}, tt.tenant[i])
					_, err := pipeline.RunCall(ctx, g.Pipeline, tt.calls[i], func(ctx context.Context, _ policy.Call) (int64, error) { return g.slow(ctx) })
					if err != nil {
						t.Errorf("%s: error is %v", tt.name, err)
					}
				})
			}
			both.Wait()
			want := int64(2)
			if tt.shared {
				want = 1
			}
			if got := g.executed.Load(); got != want {
				t.Errorf("%s: %d executions, want %d", tt.name, got, want)
			}
		})
	}
}

func TestCallsWithoutAResultAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				var mine int64
				err := g.Do(t.Context(), policy.Call{}, func(ctx context.Context, _ policy.Call) (err error) {
					mine, err = g.slow(ctx)
					return err
				})
				if mine == 0 || err != nil {
					t.Errorf("got %d, %v, want a result of its own", mine, err)
				}
			})
		}
		both.Wait()
	})
}

func TestOtherTypeIsNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var both sync.WaitGroup
		both.Go(func() {
			if n, err := g.run(t.Context()); n != 1 || err != nil {
				t.Errorf("got %d, %v, want 1, nil", n, err)
			}
		})
		synctest.Wait()
		both.Go(func() {
			text, err := pipeline.Run(t.Context(), g.Pipeline, "slow", func(context.Context) (string, error) { return "text", nil })
			if text != "text" || err != nil {
				t.Errorf("got %q, %v, want text, nil", text, err)
			}
		})
		both.Wait()
	})
}

func TestWhoeverLeavesLeavesAlone(t *testing.T) {
	const first, last = 0, 4
	for _, leaver := range []int{first, 2, last} {
		for _, deadline := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(coalesce.Config{Key: constant})
				start := time.Now()
				var all sync.WaitGroup
				for i := range last + 1 {
					ctx, want, after := t.Context(), error(nil), 10*time.Second
					if i == leaver {
						var cancel context.CancelFunc
						if after = time.Second; deadline {
							ctx, cancel = context.WithTimeout(ctx, after)
							want = context.DeadlineExceeded
						} else {
							ctx, cancel = context.WithCancel(ctx)
							time.AfterFunc(after, cancel)
							want = context.Canceled
						}
						defer cancel()
					}
					all.Go(func() {
						_, err := g.run(ctx)
						if took := time.Since(start); !errors.Is(err, want) || took != after {
							t.Errorf("%d leaves (deadline: %v): call %d ended with %v after %v, want %v after %v", leaver, deadline, i, err, took, want, after)
						}
					})
					synctest.Wait()
				}
				all.Wait()
				if g.executed.Load() != 1 || g.ended.Load() != nil {
					t.Errorf("%d leaves: %d executions, canceled: %v, want 1 that is not", leaver, g.executed.Load(), g.ended.Load() != nil)
				}
				g.idle(t)
			})
		}
	}
}

func TestExecutionEndsWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		start := time.Now()
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				_, _ = g.run(ctx)
			})
		}
		time.Sleep(3*time.Second - 1)
		if g.ended.Load() != nil {
			t.Errorf("execution was canceled while somebody waited, after %v", time.Since(start))
		}
		all.Wait()
		synctest.Wait()
		if g.ended.Load() == nil || g.executed.Load() != 1 {
			t.Errorf("%d executions, canceled: %v, want 1 that is", g.executed.Load(), g.ended.Load() != nil)
		}
		g.idle(t)
	})
}

func TestNobodyJoinsAnExecutionThatAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		stubborn := func(ctx context.Context) (int64, error) {
			n := g.executed.Add(1)
			time.Sleep(time.Minute) // whatever becomes of ctx
			return n, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := pipeline.Run(ctx, g.Pipeline, "stubborn", stubborn); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error is %v after %v, want %v after 1s", err, time.Since(start), context.DeadlineExceeded)
		}
		if n, err := pipeline.Run(t.Context(), g.Pipeline, "stubborn", stubborn); n != 2 || err != nil {
			t.Errorf("got %d, %v, want the result of another execution", n, err)
		}
		g.idle(t)
	})
}

func TestExecutionHasTheValuesOfTheFirstAndNobodysEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), tenant{}, "first"), time.Hour)
	defer cancel()
	_, err := pipeline.Run(ctx, newGroup(coalesce.Config{Key: constant}).Pipeline, "test", func(ctx context.Context) (int, error) {
		if _, ok := ctx.Deadline(); ok || ctx.Value(tenant{}) != "first" {
			t.Errorf("execution has a deadline: %v, and value %v, want none, and first", ok, ctx.Value(tenant{}))
		}
		return 0, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCallerThatHasLeftBeginsNoExecution(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := new(operation)
	err := coalesce.New(coalesce.Config{}).Do(ctx, policy.Call{}.WithOperation(op), func(ctx context.Context, _ policy.Call) error { return ctx.Err() })
	if !errors.Is(err, context.Canceled) || op.begun.Load() != 0 {
		t.Errorf("Do() = %v with %d executions, want %v with none", err, op.begun.Load(), context.Canceled)
	}
}

func TestOutcomeThatNobodyWaitsForIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		op := new(operation)
		_ = coalesce.New(coalesce.Config{}).Do(ctx, policy.Call{}.WithOperation(op), func(context.Context, policy.Call) error {
			time.Sleep(time.Minute) // whatever becomes of its context
			return nil
		})
		time.Sleep(time.Hour)
		if got := op.closed.Load(); got != 1 {
			t.Errorf("outcome was closed %d times, want once", got)
		}
	})
}

func TestNobodyJoinsAnExecutionThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, op := coalesce.New(coalesce.Config{}), &operation{settles: time.Second}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				_ = p.Do(t.Context(), policy.Call{}.WithOperation(op), func(context.Context, policy.Call) error { return nil })
			})
			synctest.Wait() // The first has ended, but not been taken by all.
		}
		both.Wait()
		if got := op.begun.Load(); got != 2 {
			t.Errorf("%d executions, want 2", got)
		}
	})
}

func TestPanicIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				defer func() {
					if got := recover(); got != errTest {
						t.Errorf("recover() = %v, want %v", got, errTest)
					}
				}()
				_, _ = pipeline.Run(t.Context(), g.Pipeline, "panic", func(context.Context) (int, error) {
					time.Sleep(time.Second)
					panic(errTest)
				})
			})
		}
		all.Wait()
		g.idle(t)
		if _, err := g.run(t.Context()); err != nil {
			t.Errorf("error after a panic is %v, want nil", err)
		}
	})
}

func TestGoexitIsEverybodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				_, err := pipeline.Run(t.Context(), g.Pipeline, "exit", func(context.Context) (int, error) {
					time.Sleep(time.Second)
					runtime.Goexit()
					return 0, nil
				})
				t.Errorf("Run() returned with %v, want Goexit", err)
			})
		}
		all.Wait()
		g.idle(t)
	})
}

func TestPanicThatNobodyWaitsForIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := pipeline.Run(ctx, g.Pipeline, "panic", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			panic(errTest)
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want %v", err, context.DeadlineExceeded)
		}
		time.Sleep(time.Minute)
		g.idle(t)
	})
}

func TestExecutionDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		depth := 0
		var again func(ctx context.Context) (int, error)
		again = func(ctx context.Context) (int, error) {
			if depth++; depth == 3 {
				return depth, nil
			}
			return pipeline.Run(ctx, g.Pipeline, "again", again)
		}
		if got, err := pipeline.Run(t.Context(), g.Pipeline, "again", again); got != 3 || err != nil {
			t.Errorf("got %d, %v, want 3, nil", got, err)
		}
	})
}

func TestAroundAndInsideOfOtherPolicies(t *testing.T) {
	for name, policies := range map[string][]policy.Policy{
		"outside of retry": {
			coalesce.New(coalesce.Config{Key: constant}),
			retry.New(retry.Config{MaxAttempts: 3}),
			timeout.New(timeout.Config{Limit: 5 * time.Second}),
		},
		"inside of retry": {
			retry.New(retry.Config{MaxAttempts: 3}),
			coalesce.New(coalesce.Config{Key: constant}),
			timeout.New(timeout.Config{Limit: 5 * time.Second}),
		},
		"in a pipeline of its own": {
			retry.New(retry.Config{MaxAttempts: 3}),
			pipeline.Must(pipeline.New("inner", coalesce.New(coalesce.Config{Key: constant}))),
			timeout.New(timeout.Config{Limit: 5 * time.Second}),
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := pipeline.Must(pipeline.New("test", policies...))
			var calls atomic.Int64
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					got, err := pipeline.Run(t.Context(), p, "test", func(ctx context.Context) (string, error) {
						if calls.Add(1) == 1 {
							<-ctx.Done()
							return "", ctx.Err()
						}
						return "done", policy.Sleep(ctx, time.Second)
					})
					if got != "done" || err != nil {
						t.Errorf("%s: got %q, %v, want done, nil", name, got, err)
					}
				})
			}
			all.Wait()
			if got := calls.Load(); got < 2 || got > 3 {
				t.Errorf("%s: %d executions, want 2, or 3 if a delay was long", name, got)
			}
		})
	}
}

func TestManyWhoComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: func(_ context.Context, call policy.Call) string { return call.Key }})
		var all sync.WaitGroup
		for worker := range 50 {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			all.Go(func() {
				for range 50 {
					ctx, cancel := context.WithCancel(t.Context())
					if random.IntN(2) == 0 {
						time.AfterFunc(time.Duration(random.IntN(20))*time.Second, cancel)
					}
					key := fmt.Sprint(random.IntN(5))
					got, err := pipeline.RunCall(ctx, g.Pipeline, policy.Call{Key: key}, func(ctx context.Context, call policy.Call) (string, error) {
						_, err := g.slow(ctx)
						return call.Key, err
					})
					if err == nil && got != key || err != nil && (!errors.Is(err, context.Canceled) || ctx.Err() == nil) {
						t.Errorf("call for %s got %q, %v", key, got, err)
					}
					cancel()
					time.Sleep(time.Duration(random.IntN(5)) * time.Second)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		g.idle(t)
		t.Logf("2500 calls were %d executions", g.executed.Load())
	})
}

// A recorder notes what a policy says of a call.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (r *recorder) say(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, s)
}

func (r *recorder) Emit(_ context.Context, e policy.Event)    { r.say(e.Name) }
func (r *recorder) Outcome(_ context.Context, outcome string) { r.say(outcome) }
func (r *recorder) Link(context.Context) slog.Attr            { return slog.String("link", "first") }
func (r *recorder) heard() string                             { return strings.Join(r.said, " ") }
func (r *recorder) Step(ctx context.Context, _ policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	r.say(fmt.Sprint("[", name, " ", attrs))
	return ctx, func(error) { r.say("]") }
}

// An operation is one that can be shared, but by no more than one call.
type operation struct {
	policy.Operation
	settles time.Duration // how long that takes
	begun   atomic.Int64
	settled atomic.Int64
	closed  atomic.Int64
}

func (o *operation) Identity(policy.Call) (string, bool) { return "operation", true }
func (o *operation) End(error)                           {}
func (o *operation) Close()                              { o.closed.Add(1) }

func (o *operation) Share(context.Context, int64) (policy.Operation, policy.SharedOutcome) {
	o.begun.Add(1)
	return o, o
}

func (o *operation) Settle(policy.Call) (bool, error) {
	time.Sleep(o.settles)
	return o.settled.Add(1) == 1, nil
}

func TestWhatThePolicySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, op := coalesce.New(coalesce.Config{}), new(operation)
		do := func(r *recorder) {
			_ = p.Do(t.Context(), policy.Call{}.WithOperation(op).WithRecorder(r), func(context.Context, policy.Call) error {
				time.Sleep(time.Second)
				return nil
			})
		}
		var recorders [3]recorder
		var all sync.WaitGroup
		for i := range recorders[:2] {
			all.Go(func() { do(&recorders[i]) })
			synctest.Wait()
		}
		all.Wait()
		_ = p.Do(t.Context(), policy.Call{}.WithRecorder(&recorders[2]), func(context.Context, policy.Call) error { return nil })
		said := []string{recorders[0].heard(), recorders[1].heard(), recorders[2].heard()}
		const step = "coalesce.joined [coalesce wait [link=first] ]"
		either := [][]string{ // Which of the two gets the result is left to chance.
			{"led", step + " alone coalesce.parted", "alone"},
			{"alone coalesce.parted", step + " joined", "alone"},
		}
		if !slices.Equal(said, either[0]) && !slices.Equal(said, either[1]) {
			t.Errorf("policy said %q, want one of %q", said, either)
		}
		if op.closed.Load() != 1 {
			t.Errorf("outcome was closed %d times, want once", op.closed.Load())
		}
	})
}

func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(coalesce.Config{Key: constant})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { _, _ = g.run(t.Context()) })
		}
		synctest.Wait()
		var got []string
		for gauge := range g.policy.Gauges() {
			got = append(got, fmt.Sprint(gauge.Name, " ", gauge.Value, " ", gauge.Unit))
		}
		if want := []string{"executions 1 {execution}", "waiting 3 {call}"}; !slices.Equal(got, want) {
			t.Errorf("gauges are %q, want %q", got, want)
		}
		all.Wait()
	})
}

func TestValidate(t *testing.T) {
	if err := coalesce.New(coalesce.Config{}).Validate(); err != nil {
		t.Errorf("Validate() of the zero Config = %v, want nil", err)
	}
	for _, maxBytes := range []int64{-1, 1<<30 + 1} {
		want := fmt.Sprintf("invalid MaxBytes %d: want 1 to 1073741824", maxBytes)
		if err := coalesce.New(coalesce.Config{MaxBytes: maxBytes}).Validate(); err == nil || err.Error() != want {
			t.Errorf("Validate() = %v, want %s", err, want)
		}
	}
	p := new(coalesce.Policy)
	if err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return nil }); err == nil || p.Validate() == nil {
		t.Errorf("Validate() = %v, Do() = %v of a Policy made without New, want errors", p.Validate(), err)
	}
}
