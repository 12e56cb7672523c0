package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("test")

// through returns a policy that notes when calls pass.
func through(name string, log *[]string) policy.Policy {
	return policy.New(name, func(ctx context.Context, call policy.Call, next policy.Handler) error {
		*log = append(*log, name+" in")
		defer func() { *log = append(*log, name+" out") }()
		return next(ctx, call)
	})
}

func passOn(ctx context.Context, call policy.Call, next policy.Handler) error { return next(ctx, call) }

func succeed(context.Context, policy.Call) error { return nil }

func TestFirstPolicyIsOutermost(t *testing.T) {
	var log []string
	inner := pipeline.Must(pipeline.New("inner", through("c", &log)))
	p := pipeline.Must(pipeline.New("outer", through("a", &log), through("b", &log), inner, through("d", &log)))
	err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
		log = append(log, "operation")
		return errTest
	})
	if !errors.Is(err, errTest) {
		t.Errorf("Do() = %v, want %v", err, errTest)
	}
	got, want := strings.Join(log, ", "), "a in, b in, c in, d in, operation, d out, c out, b out, a out"
	if got != want {
		t.Errorf("order is %s, want %s", got, want)
	}
	if got, want := p.String(), "outer: a → b → inner → d"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestNewReportsEverythingThatIsWrong(t *testing.T) {
	var noRetry *retry.Policy
	_, err := pipeline.New("users",
		nil,
		noRetry,
		policy.New("", passOn),
		policy.New("broken", nil),
		policy.New("two\nlines", passOn),
		retry.New(retry.Config{MaxAttempts: -1, Multiplier: math.NaN(), Budget: retry.NewBudget(retry.BudgetConfig{Ratio: math.NaN()})}),
		timeout.New(timeout.Config{Name: "total", Limit: -time.Second}),
		new(pipeline.Pipeline),
	)
	if err == nil {
		t.Fatal("New() = nil, want an error")
	}
	want := `pipeline "users": policy 1: invalid policy nil: want one made with New
pipeline "users": policy 2: invalid policy nil: want one made with New
pipeline "users": policy 3 "": invalid Name "": want one that tells it from other policies, without control characters
pipeline "users": policy 4 "broken": policy: invalid function nil: want a func(context.Context, policy.Call, policy.Handler) error
pipeline "users": policy 5 "two\nlines": invalid Name "two\nlines": want one that tells it from other policies, without control characters
pipeline "users": policy 6 "retry": invalid MaxAttempts -1: want at least 1
pipeline "users": policy 6 "retry": invalid Multiplier NaN: want a finite number of at least 1
pipeline "users": policy 6 "retry": invalid Budget.Ratio NaN: want a number from 0 to 100
pipeline "users": policy 7 "total": invalid Limit -1s: want 1ms to 720h0m0s
pipeline "users": policy 8 "": invalid Name "": want one that tells it from other policies, without control characters
pipeline "users": policy 8 "": pipeline: not usable: want a Pipeline made with New`
	if got := err.Error(); got != want {
		t.Errorf("New() =\n%s\nwant\n%s", got, want)
	}
}

func TestNewWantsNameAndPolicies(t *testing.T) {
	_, err := pipeline.New("")
	want := `pipeline "": invalid name "": want one that tells it from other pipelines, without control characters
pipeline "": no policies: want at least one`
	if err == nil || err.Error() != want {
		t.Errorf("New() = %v\nwant %s", err, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("Must() did not panic")
		}
	}()
	pipeline.Must(pipeline.New(""))
}

func TestUnusable(t *testing.T) {
	p := pipeline.Must(pipeline.New("p", policy.New("pass", passOn)))
	lost := pipeline.Must(pipeline.New("p", policy.New("lose", func(ctx context.Context, _ policy.Call, next policy.Handler) error {
		return next(ctx, policy.Call{})
	})))
	var noPipeline *pipeline.Pipeline
	var noContext context.Context
	for name, err := range map[string]error{
		"nil pipeline":   noPipeline.Do(t.Context(), policy.Call{}, succeed),
		"zero pipeline":  new(pipeline.Pipeline).Do(t.Context(), policy.Call{}, succeed),
		"copy of zero":   new(pipeline.Pipeline).WithObserver(nil).Do(t.Context(), policy.Call{}, succeed),
		"nil is invalid": policy.WithClass(noPipeline.Validate(), policy.Permanent),
		"nil context":    p.Do(noContext, policy.Call{}, succeed),
		"nil handler":    p.Do(t.Context(), policy.Call{}, nil),
		"lost call":      lost.Do(t.Context(), policy.Call{}, succeed),
		"Run of nil":     second(pipeline.Run[int](t.Context(), p, "test", nil)),
		"RunCall of nil": second(pipeline.RunCall[int](t.Context(), p, policy.Call{}, nil)),
		"Run on nil":     second(pipeline.Run(t.Context(), noPipeline, "test", func(context.Context) (int, error) { return 1, nil })),
	} {
		if err == nil || policy.ClassOf(err) != policy.Permanent || !strings.HasPrefix(err.Error(), "pipeline: ") {
			t.Errorf("%s: error is %v, want a permanent one of the pipeline", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRun(t *testing.T) {
	p := pipeline.Must(pipeline.New("p", retry.New(retry.Config{InitialInterval: 1})))
	attempts := 0
	got, err := pipeline.Run(t.Context(), p, "answer", func(context.Context) (int, error) {
		if attempts++; attempts < 3 {
			return -1, errTest
		}
		return 42, nil
	})
	if got != 42 || err != nil {
		t.Errorf("Run() = %v, %v, want 42, nil", got, err)
	}
	got, err = pipeline.Run(t.Context(), p, "answer", func(context.Context) (int, error) { return -1, errTest })
	if got != 0 || !errors.Is(err, errTest) {
		t.Errorf("Run() = %v, %v, want 0, %v", got, err, errTest)
	}
}

func TestRunCallSeesTheCall(t *testing.T) {
	p := pipeline.Must(pipeline.New("p",
		retry.New(retry.Config{InitialInterval: 1}),
		policy.New("header", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			return next(ctx, call.WithHeader("X-Test", "value"))
		})))
	call := policy.Call{Name: "orders.get", Key: "db"}
	got, err := pipeline.RunCall(t.Context(), p, call, func(_ context.Context, call policy.Call) (string, error) {
		if call.Attempt < 2 {
			return "", errTest
		}
		text := fmt.Sprint(call.Name, " ", call.Key, " ", call.Attempt)
		for name, value := range call.Header() {
			text += " " + name + "=" + value
		}
		return text, nil
	})
	if want := "orders.get db 2 X-Test=value"; got != want || err != nil {
		t.Errorf("RunCall() = %q, %v, want %q", got, err, want)
	}
}

func TestResolve(t *testing.T) {
	// instead returns a pipeline whose inner policy settles calls with value.
	instead := func(value any) *pipeline.Pipeline {
		fallback := policy.New("fallback", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			if err := next(ctx, call); err == nil {
				return nil
			}
			return call.Resolve(value)
		})
		return pipeline.Must(pipeline.New("outer", pipeline.Must(pipeline.New("inner", fallback))))
	}
	failing := func(context.Context) (error, error) { return nil, errTest }
	number := func(context.Context) (int, error) { return 0, errTest }

	if got, err := pipeline.Run(t.Context(), instead(7), "n", number); got != 7 || err != nil {
		t.Errorf("Run() = %v, %v, want 7, nil", got, err)
	}
	for _, value := range []any{"seven", nil, int64(7)} {
		got, err := pipeline.Run(t.Context(), instead(value), "n", number)
		if got != 0 || err == nil || !strings.Contains(err.Error(), "want int") {
			t.Errorf("Run() with fallback to %v = %v, %v, want an error that says what was wanted", value, got, err)
		}
	}
	if got, err := pipeline.Run(t.Context(), instead(errTest), "e", failing); got != errTest || err != nil {
		t.Errorf("Run() = %v, %v, want %v, nil", got, err, errTest)
	}
	if err := instead(7).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errTest }); err == nil {
		t.Error("Do() = nil of a call without a result, want an error")
	}
}

// both returns a policy that has two attempts under way at a time, and tells the
// other one to leave when one has succeeded.
func both() policy.Policy {
	return policy.New("both", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var second sync.WaitGroup
		defer second.Wait()
		second.Go(func() {
			call := call
			call.Hedge = 1
			if next(ctx, call) == nil {
				cancel()
			}
		})
		return next(ctx, call)
	})
}

func TestRunReturnsTheFirstOfConcurrentResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipeline.Must(pipeline.New("test", both()))
		got, err := pipeline.RunCall(t.Context(), p, policy.Call{}, func(ctx context.Context, call policy.Call) (string, error) {
			if call.Hedge == 1 {
				time.Sleep(time.Second)
				return "all of it", nil
			}
			<-ctx.Done()
			return "what there is until then", nil
		})
		if got != "all of it" || err != nil {
			t.Errorf("RunCall() = %q, %v, want the result that came first", got, err)
		}
	})
}

func TestRunReturnsTheLastOfSuccessiveResults(t *testing.T) {
	polling := policy.New("poll", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return errors.Join(next(ctx, call), next(ctx, call), next(ctx, call))
	})
	runs := 0
	got, err := pipeline.Run(t.Context(), pipeline.Must(pipeline.New("test", polling)), "test", func(context.Context) (int, error) {
		runs++
		return runs, nil
	})
	if got != 3 || err != nil {
		t.Errorf("Run() = %d, %v, want 3, nil", got, err)
	}
}

func TestRunWithoutAResultIsAnError(t *testing.T) {
	type user struct{}
	swallow := policy.New("swallow", policyFunc(func(error) error { return nil }))
	got, err := pipeline.Run(t.Context(), pipeline.Must(pipeline.New("p", swallow)), "users.get", func(context.Context) (*user, error) { return nil, errTest })
	if got != nil || err == nil || !strings.Contains(err.Error(), "without a result") {
		t.Errorf("Run() = %v, %v, want an error that says that there is no result", got, err)
	}
}

// modal is a policy whose complaint wraps two errors in a sentence of its own.
type modal struct{ policy.Policy }

func (modal) Validate() error {
	return fmt.Errorf("invalid Mode 3 (%w): want 1 or 2 (%w)", errTest, errors.ErrUnsupported)
}

func TestComplaintsAreNotTakenApart(t *testing.T) {
	_, err := pipeline.New("p", modal{policy.New("modal", passOn)})
	if want := `pipeline "p": policy 1 "modal": invalid Mode 3 (test): want 1 or 2 (unsupported operation)`; err == nil || err.Error() != want {
		t.Errorf("New() = %v, want %s", err, want)
	}
}

func TestCopiesShareThePolicies(t *testing.T) {
	calls := 0
	counter := policy.New("counter", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		calls++
		call.Emit(ctx, "counter.counted")
		return next(ctx, call)
	})
	var heard []string
	listen := func(name string) func(context.Context, policy.Event) {
		return func(_ context.Context, e policy.Event) {
			heard = append(heard, fmt.Sprint(name, " ", e.Pipeline, " ", e.Policy, " ", e.Name, " ", e.Call.Name))
		}
	}
	p := pipeline.Must(pipeline.New("p", counter))
	q := p.WithObserver(listen("first"))
	r := q.WithObserver(listen("second"))
	s := q.WithObserver(listen("third"))
	for _, each := range []*pipeline.Pipeline{p, q, r, s} {
		if err := each.Do(t.Context(), policy.Call{Name: "call"}, succeed); err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
	}
	if calls != 4 {
		t.Errorf("policy saw %d calls, want 4", calls)
	}
	want := []string{
		"first p counter counter.counted call",
		"first p counter counter.counted call", "second p counter counter.counted call",
		"first p counter counter.counted call", "third p counter counter.counted call",
	}
	if !slices.Equal(heard, want) {
		t.Errorf("observers heard %q, want %q", heard, want)
	}
}

func TestInnerRetryStartsAnewForEachOuterAttempt(t *testing.T) {
	inner := pipeline.Must(pipeline.New("inner", retry.New(retry.Config{InitialInterval: 1})))
	p := pipeline.Must(pipeline.New("outer", retry.New(retry.Config{InitialInterval: 1}), inner))
	var attempts []int
	err := p.Do(t.Context(), policy.Call{}, func(_ context.Context, call policy.Call) error {
		attempts = append(attempts, call.Attempt)
		return errTest
	})
	if want := []int{1, 2, 3, 1, 2, 3, 1, 2, 3}; !slices.Equal(attempts, want) || !errors.Is(err, errTest) {
		t.Errorf("attempts are %v, error %v, want %v, %v", attempts, err, want, errTest)
	}
}

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		return pipeline.Must(pipeline.New("p", timeout.New(timeout.Config{}), retry.New(retry.Config{})))
	})
}

// four returns a pipeline of policies that only pass on.
func four() *pipeline.Pipeline {
	pass := policy.New("pass", passOn)
	return pipeline.Must(pipeline.New("p", pass, pass, pass, pass)).WithTracerProvider(noop.NewTracerProvider())
}

func TestAllocations(t *testing.T) {
	p, ctx, call := four(), t.Context(), policy.Call{Name: "test", Key: "key"}
	noSDK := pipeline.Must(pipeline.New("p", slices.Repeat([]policy.Policy{policy.New("pass", passOn)}, 4)...))
	answer := func(context.Context) (int, error) { return 42, nil }
	for _, tt := range []struct {
		name string
		run  func()
		most float64
	}{
		{"Do", func() { _ = p.Do(ctx, call, succeed) }, 0},
		{"Run", func() { _, _ = pipeline.Run(ctx, p, "test", answer) }, 1},
		{"Do without an SDK", func() { _ = noSDK.Do(ctx, call, succeed) }, 3},
		{"Run without an SDK", func() { _, _ = pipeline.Run(ctx, noSDK, "test", answer) }, 4},
	} {
		got := testing.AllocsPerRun(1000, tt.run)
		t.Logf("%s: %v allocations", tt.name, got)
		if got > tt.most {
			t.Errorf("%s makes %v allocations, want at most %v", tt.name, got, tt.most)
		}
	}
}

func BenchmarkPassOn(b *testing.B) {
	pass := policy.New("pass", passOn)
	for n := 1; n <= 16; n *= 2 {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := pipeline.Must(pipeline.New("p", slices.Repeat([]policy.Policy{pass}, n)...)).WithTracerProvider(noop.NewTracerProvider())
			ctx, call := b.Context(), policy.Call{Name: "test"}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Do(ctx, call, succeed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRun(b *testing.B) {
	answer := func(context.Context) (int, error) { return 42, nil }
	for name, p := range map[string]*pipeline.Pipeline{
		"off":    four(),
		"no SDK": pipeline.Must(pipeline.New("p", slices.Repeat([]policy.Policy{policy.New("pass", passOn)}, 4)...)),
	} {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if got, err := pipeline.Run(ctx, p, "test", answer); got != 42 || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}
