package throttle_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/throttle"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy {
		return throttle.New(throttle.Config{MinCalls: 1000}) // The calls that the suite has fail are not to matter to others.
	})
}

func TestNames(t *testing.T) {
	if got := throttle.New(throttle.Config{}).Name(); got != "throttle" {
		t.Errorf("Name() = %q, want throttle", got)
	}
	p := throttle.New(throttle.Config{Name: "orders-api"})
	if p.Name() != "orders-api" || p.Type() != "throttle" {
		t.Errorf("Name() = %q, Type() = %q, want orders-api, throttle", p.Name(), p.Type())
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		config throttle.Config
		want   string
	}{
		{throttle.Config{}, ""},
		{throttle.Config{K: 1.1, Window: 2 * time.Minute, MinCalls: 1}, ""},
		{throttle.Config{K: 1}, "invalid K 1: want more than 1 and at most 100"},
		{throttle.Config{K: -2}, "invalid K -2: want more than 1 and at most 100"},
		{throttle.Config{K: math.NaN()}, "invalid K NaN: want more than 1 and at most 100"},
		{throttle.Config{K: math.Inf(1)}, "invalid K +Inf: want more than 1 and at most 100"},
		{throttle.Config{Window: 30}, "invalid Window 30ns: want 10ms to 720h0m0s"},
		{throttle.Config{Window: -time.Second}, "invalid Window -1s: want 10ms to 720h0m0s"},
		{throttle.Config{Window: 721 * time.Hour}, "invalid Window 721h0m0s: want 10ms to 720h0m0s"},
		{throttle.Config{MinCalls: -1}, "invalid MinCalls -1: want 1 to 2147483647"},
		{throttle.Config{K: 0.5, MinCalls: -1}, "invalid K 0.5: want more than 1 and at most 100\ninvalid MinCalls -1: want 1 to 2147483647"},
	}
	for _, tt := range tests {
		got := ""
		if err := throttle.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("New(%+v).Validate() = %q, want %q", tt.config, got, tt.want)
		}
	}
}

func TestConfigInJSON(t *testing.T) {
	var got throttle.Config
	if err := json.Unmarshal([]byte(`{"name": "api", "k": 1.1, "window": 60000000000, "min_calls": 3}`), &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "api" || got.K != 1.1 || got.Window != time.Minute || got.MinCalls != 3 {
		t.Errorf("Config = %+v, want api, 1.1, 1m, 3", got)
	}
}

// A configuration that nobody has validated makes no sense, but does not panic.
func TestInvalidConfigDoesNotPanic(t *testing.T) {
	for _, d := range []time.Duration{-1, 1, -time.Hour, math.MaxInt64, math.MinInt64} {
		p := throttle.New(throttle.Config{K: math.NaN(), Window: d, MinCalls: -1})
		for range 20 {
			_ = p.Do(t.Context(), orders, refuse)
			_ = p.Do(t.Context(), orders, succeed)
		}
	}
}

func TestPolicyNotMadeWithNew(t *testing.T) {
	p := new(throttle.Policy)
	if err := p.Validate(); err == nil {
		t.Error("Validate() = nil, want an error")
	}
	if err := p.Do(t.Context(), orders, succeed); policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() = %v, want an error of class Permanent", err)
	}
}

// The probability is that of the book, max(0, (requests − K × accepts) / (requests + 1)).
func TestProbability(t *testing.T) {
	tests := []struct {
		k                 float64
		accepted, refused int
		want              float64
	}{
		{2, 0, 0, 0},
		{2, 100, 0, 0},
		{2, 50, 50, 0},
		{2, 49, 51, 2. / 101},
		{2, 10, 90, 80. / 101},
		{2, 0, 100, 100. / 101},
		{1.5, 60, 40, 10. / 101},
		{10, 10, 90, 0},
		{10, 9, 91, 10. / 101},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.k, tt.accepted, tt.refused), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := throttle.New(throttle.Config{K: tt.k, MinCalls: 100})
				if sent := repeat(t, tt.refused, p, refuse) + repeat(t, tt.accepted, p, succeed); sent != tt.refused+tt.accepted {
					t.Fatalf("%d of the first 100 calls were sent, want all", sent)
				}
				wantProbability(t, p, tt.want, "after 100 calls")
			})
		})
	}
}

func TestRejectedCallsAreRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{})
		repeat(t, 1000, p, refuse)
		wantProbability(t, p, 1000./1001, "after 1000 calls, most of them not sent")
	})
}

func TestCallsAreRejectedByTheProbability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{MinCalls: 100_000})
		repeat(t, 20_000, p, succeed)
		repeat(t, 80_000, p, refuse)
		// From here on calls are rejected, or say nothing, which changes the probability
		// by little.
		sent := repeat(t, 10_000, p, ignore)
		if rejected := 10_000 - sent; rejected < 5_700 || rejected > 6_700 {
			t.Errorf("%d of 10,000 calls were rejected with a probability of 0.60 to 0.62", rejected)
		}
	})
}

func TestFewCallsAreNotRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{})
		if sent := repeat(t, 10, p, refuse); sent != 10 {
			t.Errorf("%d of the first 10 calls were sent, want all", sent)
		}
		wantProbability(t, p, 10./11, "after 10 calls")
	})
}

func TestWindowRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{})
		repeat(t, 20, p, refuse)
		time.Sleep(5 * time.Second)
		repeat(t, 40, p, refuse)
		wantProbability(t, p, 60./61, "after 5 seconds")
		time.Sleep(5*time.Second + 999*time.Millisecond)
		wantProbability(t, p, 60./61, "after just less than 11 seconds")
		time.Sleep(time.Millisecond)
		wantProbability(t, p, 40./41, "after 11 seconds")
		time.Sleep(5 * time.Second)
		wantProbability(t, p, 0, "after 16 seconds")
		if sent := repeat(t, 10, p, refuse); sent != 10 {
			t.Errorf("%d of 10 calls were sent after that, want all", sent)
		}
	})
}

func TestKeysAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{})
		repeat(t, 100, p, refuse)
		if got := p.Probability("stock"); got != 0 {
			t.Errorf("Probability() of another key = %v, want 0", got)
		}
		for range 100 {
			if err := p.Do(t.Context(), policy.Call{Key: "stock"}, succeed); err != nil {
				t.Fatalf("Do() of another key = %v, want nil", err)
			}
		}
	})
}

// countsAs finds out what a call that ends like next counts as.
func countsAs(ctx context.Context, t *testing.T, config throttle.Config, next policy.Handler) string {
	t.Helper()
	config.MinCalls = 4
	p := throttle.New(config)
	count := func() int { // how many calls are missing
		for missing := range 4 {
			if p.Probability(orders.Key) > 0 {
				return missing
			}
			_ = p.Do(t.Context(), orders, failWith(errBusy))
		}
		return 4
	}
	for range 3 {
		_ = p.Do(ctx, orders, next)
	}
	switch missing := count(); {
	case missing == 1: // three refused before
		return "refused"
	case missing == 4 && p.Probability(orders.Key) == 4./5:
		return "ignored"
	default:
		return "accepted"
	}
}

func TestClassDecides(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{nil, "accepted"},
		{errBusy, "refused"},
		{errDown, "refused"},
		{context.DeadlineExceeded, "refused"},
		{io.ErrUnexpectedEOF, "refused"},
		{syscall.ECONNREFUSED, "refused"},
		{policy.WithClass(errDown, policy.Transient), "refused"},
		{policy.WithClass(errDown, policy.NotSent), "refused"},
		{policy.WithClass(errDown, policy.Permanent), "accepted"},
		{policy.ErrUnauthenticated, "accepted"},
		{context.Canceled, "ignored"},
		{policy.WithClass(errDown, policy.Canceled), "ignored"},
		{policy.ErrRejected, "ignored"},
		{throttle.ErrOverloaded, "ignored"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			if got := countsAs(t.Context(), t, throttle.Config{}, failWith(tt.err)); got != tt.want {
				t.Errorf("counts as %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRefusedTakesThePlaceOfTheClass(t *testing.T) {
	config := throttle.Config{Refused: func(err error) bool {
		if class := policy.ClassOf(err); class == policy.Canceled || class == policy.Rejected {
			t.Errorf("Refused(%v) was asked, want it left out", err)
		}
		return policy.ClassOf(err) == policy.Throttled
	}}
	tests := []struct {
		err  error
		want string
	}{
		{nil, "accepted"},
		{errBusy, "refused"},
		{errDown, "accepted"},
		{syscall.ECONNREFUSED, "accepted"},
		{context.Canceled, "ignored"},
		{policy.ErrRejected, "ignored"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			if got := countsAs(t.Context(), t, config, failWith(tt.err)); got != tt.want {
				t.Errorf("counts as %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCancellationIsNeutral(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	leave := func(context.Context, policy.Call) error { cancel(); return errDown }
	if got := countsAs(ctx, t, throttle.Config{}, leave); got != "ignored" {
		t.Errorf("a call whose caller has left counts as %s, want ignored", got)
	}
}

func TestCallsThatAreOverBeforeTheyBeginAreNeutral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(2 * time.Second)
		if got := countsAs(ctx, t, throttle.Config{}, func(ctx context.Context, _ policy.Call) error { return ctx.Err() }); got != "ignored" {
			t.Errorf("a call without time left counts as %s, want ignored", got)
		}
	})
}

func TestTimeoutsAreRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{Window: time.Minute})
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the caller's own
			_ = p.Do(ctx, orders, func(ctx context.Context, _ policy.Call) error {
				<-ctx.Done()
				return ctx.Err()
			})
			cancel()
		}
		wantProbability(t, p, 10./11, "after 10 timeouts")
	})
}

func TestPanicIsNeutral(t *testing.T) {
	p := throttle.New(throttle.Config{MinCalls: 1})
	for range 20 {
		func() {
			defer func() { _ = recover() }()
			_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { panic("boom") })
		}()
	}
	wantProbability(t, p, 0, "after panics")
}

func TestWhatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, r := throttle.New(throttle.Config{K: 100, MinCalls: 2}), &recorder{}
		do := func(next policy.Handler) { _ = p.Do(t.Context(), orders.WithRecorder(r), next) }
		do(succeed)
		r.want(t, "success", "accepted")
		do(refuse)
		r.want(t, "refusal", "refused")
		do(ignore)
		r.want(t, "rejected further in", "ignored")

		repeat(t, 1000, p, refuse)
		for !slices.Contains(r.said, "rejected") { // That has a probability of 0.9 each time.
			r.said = nil
			do(succeed)
		}
		if !strings.HasPrefix(r.said[0], "throttle.rejected [probability=0.") || len(r.said) != 2 {
			t.Errorf("said %q, want by which probability the call was rejected, and that it was", r.said)
		}
	})
}

func TestThrottledCallsThatPassSayByWhichChance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 { // The chance to miss it is 0.8 each time.
			p, r := throttle.New(throttle.Config{MinCalls: 4}), &recorder{}
			repeat(t, 4, p, refuse)
			_ = p.Do(t.Context(), orders.WithRecorder(r), succeed)
			if r.said[0] == "probability=0.8" {
				r.want(t, "passed", "probability=0.8", "accepted")
				return
			}
		}
		t.Error("no call passed, or none said so")
	})
}

// rejection returns the error of a call that was rejected after 10 others had been
// refused.
func rejection(t *testing.T) error {
	t.Helper()
	for range 100 { // The chance to miss it is 1 in 11 each time.
		p := throttle.New(throttle.Config{Window: time.Hour})
		repeat(t, 10, p, refuse)
		if err := p.Do(t.Context(), orders, succeed); err != nil {
			return err
		}
	}
	t.Fatal("no call was rejected")
	return nil
}

func TestErrorOfARejectedCall(t *testing.T) {
	err := rejection(t)
	if !errors.Is(err, throttle.ErrOverloaded) || !errors.Is(err, policy.ErrRejected) || errors.Is(err, policy.ErrUnauthenticated) {
		t.Errorf("%v: does not match just ErrOverloaded and policy.ErrRejected", err)
	}
	if got, want := err.Error(), `throttle: server overloaded for "orders": 90.9% of calls are rejected`; got != want {
		t.Errorf("Error() = %s, want %s", got, want)
	}
	if got := policy.ClassOf(err); got != policy.Rejected {
		t.Errorf("ClassOf() = %v, want %v", got, policy.Rejected)
	}
	if got := policy.ErrorType(err); got != "throttled" {
		t.Errorf("ErrorType() = %q, want throttled", got)
	}
	if !policy.NoEffect(err) {
		t.Error("NoEffect() = false, want true")
	}
}

func TestGauges(t *testing.T) {
	p := throttle.New(throttle.Config{})
	repeat(t, 100, p, refuse)
	for _, key := range []string{"stock", "users"} {
		_ = p.Do(t.Context(), policy.Call{Key: key}, succeed)
	}
	got := ""
	for g := range p.Gauges() {
		got += fmt.Sprintln(g.Name, g.Unit, g.Attrs, g.Value)
	}
	if want := "keys {key} [throttled=true] 1\nkeys {key} [throttled=false] 2\n"; got != want {
		t.Errorf("Gauges() =\n%swant\n%s", got, want)
	}
}

func TestKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := throttle.New(throttle.Config{})
		repeat(t, 100, p, refuse)
		crowd := func() (keys float64) {
			for i := range 10_000 {
				_ = p.Do(t.Context(), policy.Call{Key: fmt.Sprint(i)}, succeed)
			}
			for g := range p.Gauges() {
				keys += g.Value
			}
			return keys
		}
		if got := crowd(); got > 2049 {
			t.Errorf("%v of 10,001 keys are remembered, want at most 2049", got)
		}
		wantProbability(t, p, 100./101, "after 10,000 other keys") // It is not forgotten.
		time.Sleep(11 * time.Second)
		if got := crowd(); got > 2048 {
			t.Errorf("%v of 10,000 keys are remembered, want at most 2048", got)
		}
	})
}

// No call is lost.
func TestConcurrentUse(t *testing.T) {
	p := throttle.New(throttle.Config{Window: 30 * 24 * time.Hour, MinCalls: 40_000})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 10_000 {
				next := refuse
				if i%4 == 0 {
					next = succeed
				}
				_ = p.Do(t.Context(), orders, next)
			}
		})
	}
	wg.Wait()
	wantProbability(t, p, 20_000./40_001, "after 10,000 of 40,000 calls were accepted")
}
