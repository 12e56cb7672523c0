package limit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return limit.New(limit.Config{Max: 1}) })
}

func TestNames(t *testing.T) {
	if got := limit.New(limit.Config{}).Name(); got != "limit" {
		t.Errorf("Name() = %q, want limit", got)
	}
	p := limit.New(limit.Config{Name: "orders-api"})
	if p.Name() != "orders-api" || p.Type() != "limit" {
		t.Errorf("Name() = %q, Type() = %q, want orders-api, limit", p.Name(), p.Type())
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		config limit.Config
		want   string
	}{
		{limit.Config{}, ""},
		{limit.Config{Min: 30}, ""},
		{limit.Config{Min: 5000}, ""},
		{limit.Config{Max: 3}, ""},
		{limit.Config{Initial: 3000}, ""},
		{limit.Config{Initial: 8, Min: 8, Max: 8, Window: 100 * time.Millisecond, Tolerance: 1}, ""},
		{limit.Config{Min: -1}, "invalid Min -1: want 1 to 1000000"},
		{limit.Config{Min: 9, Max: 8, Initial: 9}, "invalid Max 8: want 9 to 1000000"},
		{limit.Config{Max: 2_000_000, Initial: 20}, "invalid Max 2000000: want 1 to 1000000"},
		{limit.Config{Initial: 7, Min: 8, Max: 10}, "invalid Initial 7: want 8 to 10"},
		{limit.Config{Initial: 11, Min: 8, Max: 10}, "invalid Initial 11: want 8 to 10"},
		{limit.Config{Initial: -1}, "invalid Initial -1: want 1 to 1000"},
		{limit.Config{Window: 1}, "invalid Window 1ns: want 100ms to 1h0m0s"},
		{limit.Config{Window: 2 * time.Hour}, "invalid Window 2h0m0s: want 100ms to 1h0m0s"},
		{limit.Config{Tolerance: 0.5}, "invalid Tolerance 0.5: want 1 to 100"},
		{limit.Config{Tolerance: math.NaN()}, "invalid Tolerance NaN: want 1 to 100"},
		{limit.Config{Tolerance: math.Inf(1)}, "invalid Tolerance +Inf: want 1 to 100"},
		{limit.Config{Min: -1, Tolerance: -1}, "invalid Min -1: want 1 to 1000000\ninvalid Tolerance -1: want 1 to 100"},
	}
	for _, tt := range tests {
		got := ""
		if err := limit.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("New(%+v).Validate() = %q, want %q", tt.config, got, tt.want)
		}
	}
}

func TestConfigInJSON(t *testing.T) {
	var got limit.Config
	data := `{"name": "api", "initial": 5, "min": 2, "max": 50, "window": 2000000000, "tolerance": 2}`
	if err := json.Unmarshal([]byte(data), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "api" || got.Initial != 5 || got.Min != 2 || got.Max != 50 || got.Window != 2*time.Second || got.Tolerance != 2 {
		t.Errorf("Config = %+v, want api, 5, 2, 50, 2s, 2", got)
	}
}

// A configuration that nobody has validated makes no sense, but does not panic.
func TestInvalidConfigDoesNotPanic(t *testing.T) {
	for _, n := range []int{-1, 1, math.MaxInt, math.MinInt} {
		for _, f := range []float64{-1, math.NaN(), math.Inf(1)} {
			p := limit.New(limit.Config{Initial: n, Min: n, Max: -n, Window: time.Duration(n), Tolerance: f})
			for range 100 {
				_ = p.Do(t.Context(), orders, succeed)
			}
		}
	}
}

func TestPolicyNotMadeWithNew(t *testing.T) {
	p := new(limit.Policy)
	if err := p.Validate(); err == nil {
		t.Error("Validate() = nil, want an error")
	}
	if err := p.Do(t.Context(), orders, succeed); policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() = %v, want an error of class Permanent", err)
	}
}

func TestCallsBeyondTheLimitAreRejectedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{Initial: 3})
		release := hold(t, 3, p, orders)
		start := time.Now()
		if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, limit.ErrExceeded) {
			t.Errorf("Do() of a fourth call = %v, want %v", err, limit.ErrExceeded)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Do() of a fourth call took %v, want none", took)
		}
		if err := p.Do(t.Context(), policy.Call{Key: "stock"}, succeed); err != nil {
			t.Errorf("Do() of another key = %v, want nil", err)
		}
		release()
		if got := room(t, p); got != 3 {
			t.Errorf("there is room for %d calls after that, want 3", got)
		}
	})
}

func TestNoMoreThanTheLimitAreInFlight(t *testing.T) {
	p := limit.New(limit.Config{Max: 5, Initial: 5})
	var inFlight, most atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 200 {
				_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
					n := inFlight.Add(1)
					defer inFlight.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					runtime.Gosched()
					return nil
				})
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got > 5 {
		t.Errorf("%d calls were in flight at a time, want at most 5", got)
	}
	if got := inFlightGauge(p); got != 0 {
		t.Errorf("%v calls are in flight when all have ended, want 0", got)
	}
}

func inFlightGauge(p *limit.Policy) float64 {
	for g := range p.Gauges() {
		if g.Name == "in_flight" {
			return g.Value
		}
	}
	return -1
}

// A place is held exactly while the operation runs, however that ends.
func TestPlacesAreGivenBack(t *testing.T) {
	ends := map[string]func(){
		"panic":  func() { panic("boom") },
		"Goexit": runtime.Goexit,
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p := limit.New(limit.Config{Initial: 2})
			for range 5 {
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() { _ = recover() }()
					_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
						if got := inFlightGauge(p); got != 1 {
							t.Errorf("%v calls are in flight during one, want 1", got)
						}
						end()
						return nil
					})
				})
				wg.Wait()
			}
			if got := room(t, p); got != 2 {
				t.Errorf("there is room for %d calls, want 2", got)
			}
		})
	}
}

// grown returns what becomes of the limit by three times 20 calls at a time.
func grown(ctx context.Context, t *testing.T, config limit.Config, next policy.Handler) int {
	t.Helper()
	p := limit.New(config)
	for range 3 {
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { _ = p.Do(ctx, orders, next) })
		}
		calls.Wait()
	}
	return p.Limit(orders.Key)
}

func TestClassDecides(t *testing.T) {
	const succeeded, refused, ignored = 1, -1, 0 // The direction in which the limit goes.
	tests := []struct {
		err  error
		want int
	}{
		{nil, succeeded},
		{errBusy, refused},
		{errDown, refused},
		{context.DeadlineExceeded, refused},
		{policy.WithClass(errDown, policy.NotSent), refused},
		{policy.WithClass(errDown, policy.Permanent), ignored},
		{policy.ErrUnauthenticated, ignored},
		{context.Canceled, ignored},
		{policy.ErrRejected, ignored},
		{limit.ErrExceeded, ignored},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := grown(t.Context(), t, limit.Config{}, after(time.Second, tt.err)); direction(got) != tt.want {
					t.Errorf("the limit of 20 becomes %d, want it to go in direction %d", got, tt.want)
				}
			})
		})
	}
}

// direction reports which way the limit of 20 has gone.
func direction(limit int) int {
	switch {
	case limit > 20:
		return 1
	case limit < 20:
		return -1
	default:
		return 0
	}
}

func TestRefusedTakesThePlaceOfTheClass(t *testing.T) {
	config := limit.Config{Refused: func(err error) bool {
		if class := policy.ClassOf(err); class == policy.Canceled || class == policy.Rejected {
			t.Errorf("Refused(%v) was asked, want it left out", err)
		}
		return policy.ClassOf(err) == policy.Permanent
	}}
	tests := []struct {
		err  error
		want int // the direction
	}{
		{nil, 1},
		{errBusy, 0},
		{policy.WithClass(errDown, policy.Permanent), -1},
		{context.Canceled, 0},
		{policy.ErrRejected, 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := grown(t.Context(), t, config, after(time.Second, tt.err)); direction(got) != tt.want {
					t.Errorf("the limit of 20 becomes %d, want it to go in direction %d", got, tt.want)
				}
			})
		})
	}
}

func TestCancellationIsNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		got := grown(ctx, t, limit.Config{}, func(context.Context, policy.Call) error {
			time.Sleep(time.Second)
			cancel()
			return errDown
		})
		if got != 20 {
			t.Errorf("the limit of 20 becomes %d, want no change", got)
		}
	})
}

func TestCallsThatAreOverBeforeTheyBeginAreNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		if got := grown(ctx, t, limit.Config{}, after(time.Second, errDown)); got != 20 {
			t.Errorf("the limit of 20 becomes %d, want no change", got)
		}
	})
}

func TestTimeoutsLowerTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the caller's own
		defer cancel()
		got := grown(ctx, t, limit.Config{}, func(ctx context.Context, _ policy.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if got >= 20 {
			t.Errorf("the limit of 20 becomes %d after timeouts, want less", got)
		}
	})
}

func TestLimitStaysWithinMinAndMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := limit.Config{Min: 18, Max: 22}
		if got := grown(t.Context(), t, config, after(time.Second, errBusy)); got != 18 {
			t.Errorf("the limit becomes %d after refusals, want the least, 18", got)
		}
		if got := grown(t.Context(), t, config, after(time.Second, nil)); got != 22 {
			t.Errorf("the limit becomes %d after successes, want the most, 22", got)
		}
	})
}

// A batch is what happens in a window: calls that are in flight at the same time, and one
// later, with which the window ends.
type batch struct {
	n       int
	took    time.Duration
	refused int // of n, or of all
}

const window = 30 * time.Second

func (b batch) do(t *testing.T, p *limit.Policy) {
	var calls sync.WaitGroup
	for i := range b.n + 1 {
		var err error
		if i < b.refused {
			err = errBusy
		}
		if i == b.n {
			time.Sleep(window - b.took)
		}
		calls.Go(func() { _ = p.Do(t.Context(), orders, after(b.took, err)) })
	}
	calls.Wait()
}

// The limit is by and by what the package's documentation says.
func TestLimit(t *testing.T) {
	first := batch{400, time.Second, 0} // The base is 1 s, and the limit 400 + 20.
	tests := []struct {
		name      string
		tolerance float64
		batches   []batch
		want      int
	}{
		{"no queue", 0, nil, 420},
		{"tolerable", 0, []batch{{420, 1500 * time.Millisecond, 0}}, 440},
		{"a queue", 0, []batch{{420, 2 * time.Second, 0}}, 403},
		{"a queue that is tolerable", 3, []batch{{420, 2 * time.Second, 0}}, 440},
		{"no tolerance", 1, []batch{{420, 2 * time.Second, 0}}, 382},
		{"a long queue", 0, []batch{{420, 10 * time.Second, 0}}, 378},
		{"half of the limit in use", 0, []batch{{210, 2 * time.Second, 0}}, 403},
		{"less in use", 0, []batch{{209, 2 * time.Second, 0}}, 420},
		{"a tenth refused", 0, []batch{{420, 2 * time.Second, 42}}, 396},
		{"all refused", 0, []batch{{420, time.Second, 421}}, 378},
		{"faster", 0, []batch{{420, 500 * time.Millisecond, 0}, {440, 2 * time.Second, 0}}, 416}, // The base is 0.9 s.
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := limit.New(limit.Config{Initial: 400, Tolerance: tt.tolerance, Window: window})
				first.do(t, p)
				for _, b := range tt.batches {
					b.do(t, p)
				}
				if got := p.Limit(orders.Key); got != tt.want {
					t.Errorf("Limit() = %d, want %d", got, tt.want)
				}
			})
		})
	}
}

// Now and then the limit is lowered to find out whether it is a queue that makes calls
// slow. Here it is not.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{Initial: 100, Window: window})
		batch{100, time.Second, 0}.do(t, p)
		for range 19 {
			batch{p.Limit(orders.Key), 2 * time.Second, 0}.do(t, p)
		}
		full := p.Limit(orders.Key)
		batch{full, 2 * time.Second, 0}.do(t, p)
		lowered := p.Limit(orders.Key)
		if lowered < full/3-1 || lowered > full/3+1 {
			t.Errorf("the limit of %d is %d after 20 windows with a queue, want a third of it", full, lowered)
		}
		for range 20 { // These calls may have been in the queue.
			_ = p.Do(t.Context(), orders, after(time.Second/10, nil))
		}
		time.Sleep(2 * time.Second)
		batch{lowered, 2 * time.Second, 0}.do(t, p)
		if got := p.Limit(orders.Key); got < full-2 || got > full+2 {
			t.Errorf("the limit of %d becomes %d after the probe", full, got)
		}
		batch{full, 2 * time.Second, 0}.do(t, p)
		if got := p.Limit(orders.Key); got < full+4 {
			t.Errorf("the limit of %d becomes %d by calls that take as long as in the probe, want it to grow", full, got)
		}
	})
}

func TestFewCallsDoNotMoveTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{Initial: 1})
		for range 9 {
			_ = p.Do(t.Context(), orders, after(time.Minute, nil))
		}
		if got := p.Limit(orders.Key); got != 1 {
			t.Errorf("the limit of 1 becomes %d after 9 calls, want no change", got)
		}
		_ = p.Do(t.Context(), orders, after(time.Minute, nil))
		if got := p.Limit(orders.Key); got != 5 {
			t.Errorf("the limit of 1 becomes %d after 10 calls, want 5", got)
		}
	})
}

func TestWhatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, r := limit.New(limit.Config{Initial: 2}), &recorder{}
		do := func(next policy.Handler) { _ = p.Do(t.Context(), orders.WithRecorder(r), next) }
		do(succeed)
		r.want(t, "success", "max_in_flight=2", "succeeded")
		do(after(0, errBusy))
		r.want(t, "refusal", "max_in_flight=2", "refused")
		do(after(0, policy.ErrRejected))
		r.want(t, "rejected further in", "max_in_flight=2", "ignored")
		defer hold(t, 2, p, orders)()
		do(succeed)
		r.want(t, "rejected", "limit.rejected [max_in_flight=2]", "rejected")
	})
}

func TestErrorOfARejectedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{Initial: 3})
		for _, tt := range []struct{ key, text string }{
			{"orders", `limit: exceeded for "orders": 3 calls may be in flight`},
			{"", `limit: exceeded: 3 calls may be in flight`},
		} {
			call := policy.Call{Key: tt.key}
			defer hold(t, 3, p, call)()
			err := p.Do(t.Context(), call, succeed)
			if err == nil || err.Error() != tt.text {
				t.Fatalf("Do() = %v, want %s", err, tt.text)
			}
			if !errors.Is(err, limit.ErrExceeded) || !errors.Is(err, policy.ErrRejected) || errors.Is(err, policy.ErrUnauthenticated) {
				t.Errorf("%v: does not match just ErrExceeded and policy.ErrRejected", err)
			}
			if got := policy.ClassOf(err); got != policy.Rejected {
				t.Errorf("%v: ClassOf() = %v, want %v", err, got, policy.Rejected)
			}
			if got := policy.ErrorType(err); got != "concurrency_limit" {
				t.Errorf("%v: ErrorType() = %q, want concurrency_limit", err, got)
			}
			if !policy.NoEffect(err) {
				t.Errorf("%v: NoEffect() = false, want true", err)
			}
		}
	})
}

func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{})
		defer hold(t, 3, p, orders)()
		defer hold(t, 2, p, policy.Call{Key: "stock"})()
		got := ""
		for g := range p.Gauges() {
			got += fmt.Sprintln(g.Name, g.Unit, g.Attrs, g.Value)
		}
		if want := "in_flight {call} [] 5\nmax_in_flight {call} [] 40\n"; got != want {
			t.Errorf("Gauges() =\n%swant\n%s", got, want)
		}
	})
}

// Idle keys are forgotten, and none with a call in flight.
func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := limit.New(limit.Config{Initial: 2})
		release := hold(t, 2, p, orders)
		for i := range 10_000 {
			_ = p.Do(t.Context(), policy.Call{Key: fmt.Sprint(i)}, succeed)
		}
		for g := range p.Gauges() {
			if keys := g.Value / 2; g.Name == "max_in_flight" && keys > 2049 {
				t.Errorf("%v of 10,001 keys are remembered, want at most 2049", keys)
			}
		}
		if got := room(t, p); got != 0 {
			t.Errorf("there is room for %d calls while the limit of 2 is used up, want none", got)
		}
		release()
		if got := room(t, p); got != 2 {
			t.Errorf("there is room for %d calls after that, want 2", got)
		}
	})
}
