package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/ratelimit"
)

func TestConformance(t *testing.T) {
	for name, config := range map[string]ratelimit.Config{
		"default": {},
		"waits":   {Rate: 1e6, Burst: 1, MaxWait: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			policytest.Run(t, func() policy.Policy { return ratelimit.New(config) })
		})
	}
}

func TestDo(t *testing.T) {
	tests := []struct {
		name   string
		config ratelimit.Config // with 1 call per second, and a burst of 1 that is used up
		queue  int              // how many calls wait already
		ctx    time.Duration    // the caller's deadline; 0 for none
		want   string           // the error
		took   time.Duration
		retry  time.Duration
	}{
		{
			name: "does not wait",
			want: `ratelimit: rate exceeded for "orders": 1 per second, next in 1s`, retry: time.Second,
		},
		{name: "waits", config: ratelimit.Config{MaxWait: time.Minute}, took: time.Second},
		{name: "waits behind others", config: ratelimit.Config{MaxWait: time.Minute}, queue: 4, took: 5 * time.Second},
		{name: "wait is just short enough", config: ratelimit.Config{MaxWait: 5 * time.Second}, queue: 4, took: 5 * time.Second},
		{
			name: "wait would be too long", config: ratelimit.Config{MaxWait: 5*time.Second - 1}, queue: 4,
			want: `ratelimit: rate exceeded for "orders": 1 per second, next in 5s, after MaxWait 4.999999999s`, retry: 5 * time.Second,
		},
		{
			name: "wait would outlast the deadline", config: ratelimit.Config{MaxWait: time.Minute}, queue: 4, ctx: 5 * time.Second,
			want: `ratelimit: rate exceeded for "orders": 1 per second, next in 5s, after the deadline`, retry: 5 * time.Second,
		},
		{name: "late deadline", config: ratelimit.Config{MaxWait: time.Minute}, queue: 4, ctx: 5*time.Second + 1, took: 5 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.config.Rate, tt.config.Burst = 1, 1
				p := ratelimit.New(tt.config)
				if err := p.Do(t.Context(), orders, succeed); err != nil {
					t.Fatalf("Do() = %v of the first call, want nil", err)
				}
				queue(t, p, tt.queue)
				ctx := t.Context()
				if tt.ctx > 0 {
					ctx = within(t, tt.ctx)
				}

				start, ran := time.Now(), false
				err := p.Do(ctx, orders, func(context.Context, policy.Call) error {
					ran = true
					return nil
				})
				got := ""
				if err != nil {
					got = err.Error()
				}
				if took := time.Since(start); got != tt.want || took != tt.took || ran != (err == nil) {
					t.Errorf("Do() = %q after %v (operation carried out: %v), want %q after %v", got, took, ran, tt.want, tt.took)
				}
				if err == nil {
					return
				}
				if !errors.Is(err, ratelimit.ErrExceeded) || !errors.Is(err, policy.ErrRejected) || policy.ClassOf(err) != policy.Rejected {
					t.Errorf("Do() = %v of class %v, want ErrExceeded of class %v", err, policy.ClassOf(err), policy.Rejected)
				}
				if !policy.NoEffect(err) || policy.ErrorType(err) != "rate_limited" {
					t.Errorf("Do() = %v: NoEffect %v, ErrorType %q, want true, rate_limited", err, policy.NoEffect(err), policy.ErrorType(err))
				}
				if retry, ok := policy.RetryAfter(err); retry != tt.retry || !ok {
					t.Errorf("RetryAfter() = %v, %v, want %v", retry, ok, tt.retry)
				}
			})
		})
	}
}

func TestRetryAfterIsExact(t *testing.T) {
	for _, rate := range []float64{0.001, 1.0 / 3, 1, 3, 7, 100, 333.3, 12345.678} {
		for _, burst := range []int{1, 3} {
			synctest.Test(t, func(t *testing.T) {
				p := ratelimit.New(ratelimit.Config{Rate: rate, Burst: burst})
				for range 20 {
					err := p.Do(t.Context(), orders, succeed)
					if err == nil {
						continue
					}
					after, ok := policy.RetryAfter(err)
					if !ok {
						t.Fatalf("Do() = %v, want an error that says when to come back", err)
					}
					time.Sleep(after - after/1000 - 2)
					if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, ratelimit.ErrExceeded) {
						t.Errorf("rate %v, burst %d: Do() = %v before the end of RetryAfter %v, want %v", rate, burst, err, after, ratelimit.ErrExceeded)
					}
					time.Sleep(after/1000 + 2)
					if err := p.Do(t.Context(), orders, succeed); err != nil {
						t.Errorf("rate %v, burst %d: Do() = %v after RetryAfter %v, want nil", rate, burst, err, after)
					}
				}
			})
		}
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ratelimit.New(ratelimit.Config{Rate: 10, Burst: 2, MaxWait: time.Hour})
		start := time.Now()
		served := make(chan int, 100)
		for i := range cap(served) {
			go func() {
				_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
					served <- i
					want := time.Duration(max(0, i-1)) * 100 * time.Millisecond
					if got := time.Since(start); got < want || got > want+time.Microsecond {
						t.Errorf("call %d was made after %v, want %v", i, got, want)
					}
					return nil
				})
			}()
			synctest.Wait()
		}
		for want := range cap(served) {
			if got := <-served; got != want {
				t.Fatalf("call %d was served before call %d", got, want)
			}
		}
	})
}

func TestCanceledWaiterGivesItsTokenBack(t *testing.T) {
	for _, tt := range []struct {
		leaves int // which of the calls that wait, from 0 on
		want   []time.Duration
	}{
		{0, []time.Duration{1, 2}},
		{1, []time.Duration{1, 2}},
		{2, []time.Duration{1, 2}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := ratelimit.New(ratelimit.Config{Rate: 1, Burst: 1, MaxWait: time.Minute})
			_ = p.Do(t.Context(), orders, succeed)
			start := time.Now()
			ctx, cancel := context.WithCancelCause(t.Context())
			reason := errors.New("gone home")
			served := make(chan time.Duration, 3)
			for i := range 3 {
				go func() {
					its := t.Context()
					if i == tt.leaves {
						its = ctx
					}
					err := p.Do(its, orders, func(context.Context, policy.Call) error {
						served <- time.Since(start)
						return nil
					})
					if i == tt.leaves && err != reason {
						t.Errorf("Do() = %v, want the cause %v", err, reason)
					}
				}()
				synctest.Wait()
			}
			time.Sleep(500 * time.Millisecond)
			cancel(reason)
			synctest.Wait()
			if got := waiting(p); got != 2 {
				t.Errorf("%d wait after one of 3 has left, want 2", got)
			}
			for _, want := range tt.want {
				if got := <-served; got != want*time.Second {
					t.Errorf("after waiter %d had left, one was served after %v, want %v", tt.leaves, got, want*time.Second)
				}
			}
			err := p.Do(t.Context(), orders, succeed)
			if got := time.Since(start); err != nil || got != 3*time.Second {
				t.Errorf("after waiter %d had left, the next call ended with %v after %v, want nil after 3s", tt.leaves, err, got)
			}
		})
	}
}

// Callers come and go at random. As there is always one who waits, the rate is
// used up to the last token, and never more.
func TestRateIsKeptAndNothingIsLost(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			const rate, burst = 10, 5
			random := rand.New(rand.NewPCG(seed, 0))
			p := ratelimit.New(ratelimit.Config{Rate: rate, Burst: burst, MaxWait: time.Hour})
			var admitted atomic.Int64
			call := func(ctx context.Context) {
				_ = p.Do(ctx, orders, func(context.Context, policy.Call) error {
					admitted.Add(1)
					return nil
				})
			}
			start := time.Now()
			for i := range 1000 {
				ctx := t.Context()
				if random.IntN(3) > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(time.Duration(random.IntN(2000))*time.Millisecond, cancel) // often just as its turn comes
				}
				go call(ctx)
				time.Sleep(time.Duration(random.IntN(5)) * 10 * time.Millisecond)
				synctest.Wait()
				most := burst + rate*time.Since(start).Seconds()
				if got := float64(admitted.Load()); got > most+1e-6 {
					t.Fatalf("seed %d: %v calls were made in %v, want at most %v", seed, got, time.Since(start), most)
				}
				if got := float64(admitted.Load()); i > 50 && waiting(p) > 0 && got < math.Floor(most-0.001) {
					t.Fatalf("seed %d: %v calls were made in %v while others wait, want %v", seed, got, time.Since(start), math.Floor(most))
				}
			}
		})
	}
}

func TestCallerWhoHasLeftTakesNoToken(t *testing.T) {
	p := ratelimit.New(ratelimit.Config{Rate: 0.001, Burst: 1})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Do(ctx, orders, succeed); err != context.Canceled {
		t.Errorf("Do() = %v, want %v", err, context.Canceled)
	}
	if err := p.Do(t.Context(), orders, succeed); err != nil {
		t.Errorf("Do() = %v, want nil: the token is there still", err)
	}
}

func TestKeysHaveTokensOfTheirOwn(t *testing.T) {
	p := ratelimit.New(ratelimit.Config{Rate: 0.001, Burst: 1})
	for _, key := range []string{"", "orders", "users"} {
		call := policy.Call{Key: key}
		if err := p.Do(t.Context(), call, succeed); err != nil {
			t.Errorf("Do() with key %q = %v, want nil", key, err)
		}
		if err := p.Do(t.Context(), call, succeed); !errors.Is(err, ratelimit.ErrExceeded) {
			t.Errorf("Do() with key %q = %v, want %v", key, err, ratelimit.ErrExceeded)
		}
	}
}

func TestPipelinesShareTheTokensOfAnInstance(t *testing.T) {
	shared := ratelimit.New(ratelimit.Config{Rate: 0.001, Burst: 1})
	one := pipeline.Must(pipeline.New("one", shared))
	other := pipeline.Must(pipeline.New("other", shared))
	if err := one.Do(t.Context(), orders, succeed); err != nil {
		t.Errorf("Do() = %v, want nil", err)
	}
	if err := other.Do(t.Context(), orders, succeed); !errors.Is(err, ratelimit.ErrExceeded) {
		t.Errorf("Do() = %v with the token taken by the other pipeline, want %v", err, ratelimit.ErrExceeded)
	}
}

func TestKeysAreBounded(t *testing.T) {
	p := ratelimit.New(ratelimit.Config{Rate: 1e6, Burst: 1})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	crowd(t, p, 20_000)
	if got := int64(heap()) - int64(before); got > 2<<20 {
		t.Errorf("20,000 keys hold %d bytes, want at most 2 MiB", got)
	}
	runtime.KeepAlive(p)
}

// crowd makes calls with n new keys.
func crowd(t *testing.T, p *ratelimit.Policy, n int) {
	t.Helper()
	for i := range n {
		if err := p.Do(t.Context(), policy.Call{Key: fmt.Sprintf("host-%d", i)}, succeed); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
	}
}

func TestNoKeyIsForgottenThatLacksTokens(t *testing.T) {
	p := ratelimit.New(ratelimit.Config{Rate: 0.001, Burst: 2})
	_ = p.Do(t.Context(), orders, succeed)
	crowd(t, p, 5000)
	if err := p.Do(t.Context(), orders, succeed); err != nil {
		t.Errorf("Do() = %v of the second call, want nil", err)
	}
	if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, ratelimit.ErrExceeded) {
		t.Errorf("Do() = %v of the third call, want %v", err, ratelimit.ErrExceeded)
	}
}

// Calls come and go while keys are forgotten all the time, for the race detector.
func TestConcurrentUse(t *testing.T) {
	p := ratelimit.New(ratelimit.Config{Rate: 1e5, Burst: 2, MaxWait: 10 * time.Millisecond})
	var admitted atomic.Int64
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				timer := time.AfterFunc(time.Duration(rand.IntN(100))*time.Microsecond, cancel)
				_ = p.Do(ctx, policy.Call{Key: fmt.Sprint("host", i, j)}, succeed)
				_ = p.Do(ctx, orders, func(context.Context, policy.Call) error {
					admitted.Add(1)
					return nil
				})
				waiting(p)
				timer.Stop()
				cancel()
			}
		})
	}
	wg.Wait()
	if got, most := float64(admitted.Load()), 2+1e5*time.Since(start).Seconds(); got > most {
		t.Errorf("%v calls were made, want at most %v", got, most)
	}
	if got := waiting(p); got != 0 {
		t.Errorf("%d calls wait at the end, want none", got)
	}
}

func TestWhatIsTold(t *testing.T) {
	tests := []struct {
		name    string
		maxWait time.Duration
		used    bool // whether the token is
		ctx     time.Duration
		cancel  time.Duration
		want    string
	}{
		{name: "token", want: "admitted"},
		{name: "no token", used: true, want: "ratelimit.rejected rate=1 reason=empty retry_in=1s, rejected"},
		{name: "waits", used: true, maxWait: time.Minute, want: "rate limit wait delay=1s rate=1, rate limit wait ended, waited"},
		{
			name: "would wait too long", used: true, maxWait: time.Millisecond,
			want: "ratelimit.rejected rate=1 reason=max_wait retry_in=1s, rejected",
		},
		{
			name: "deadline", used: true, maxWait: time.Minute, ctx: 500 * time.Millisecond,
			want: "ratelimit.rejected rate=1 reason=deadline retry_in=1s, rejected",
		},
		{
			name: "caller leaves", used: true, maxWait: time.Minute, cancel: 500 * time.Millisecond,
			want: "rate limit wait delay=1s rate=1, rate limit wait ended, canceled",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := ratelimit.New(ratelimit.Config{Rate: 1, Burst: 1, MaxWait: tt.maxWait})
				if tt.used {
					_ = p.Do(t.Context(), orders, succeed)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.ctx > 0 {
					ctx = within(t, tt.ctx)
				}
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				r := new(recorder)
				_ = p.Do(ctx, orders.WithRecorder(r), succeed)
				if got := strings.Join(r.said, ", "); got != tt.want {
					t.Errorf("policy said\n\t%s\nwant\n\t%s", got, tt.want)
				}
			})
		})
	}
}

func TestListenerThatPanicsHoldsNobodyUp(t *testing.T) {
	for when, took := range map[string]time.Duration{"rate limit wait delay": time.Second, "rate limit wait ended": 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := ratelimit.New(ratelimit.Config{Rate: 1, Burst: 1, MaxWait: time.Minute})
			_ = p.Do(t.Context(), orders, succeed)
			start := time.Now()
			func() {
				defer func() { _ = recover() }()
				_ = p.Do(t.Context(), orders.WithRecorder(&recorder{panics: when}), succeed)
			}()
			if err := p.Do(t.Context(), orders, succeed); err != nil || time.Since(start) != took {
				t.Errorf("after a panic at %q: Do() = %v after %v, want nil after %v", when, err, time.Since(start), took)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		config ratelimit.Config
		want   string
	}{
		{ratelimit.Config{}, ""},
		{ratelimit.Config{Rate: 0.001}, ""},
		{ratelimit.Config{Rate: 1e6, Burst: 1e6, MaxWait: time.Millisecond}, ""},
		{ratelimit.Config{Rate: -1}, "invalid Rate -1: want more than 0 and at most 1000000 per second"},
		{ratelimit.Config{Rate: math.Inf(1)}, "invalid Rate +Inf: want more than 0 and at most 1000000 per second"},
		{ratelimit.Config{Rate: math.NaN(), Burst: 1}, "invalid Rate NaN: want more than 0 and at most 1000000 per second"},
		{ratelimit.Config{Burst: -1}, "invalid Burst -1: want 1 to 1000000"},
		{ratelimit.Config{MaxWait: 30}, "invalid MaxWait 30ns: want 0 or 1ms to 720h0m0s"},
		{ratelimit.Config{Rate: -1, MaxWait: -1}, "invalid Rate -1: want more than 0 and at most 1000000 per second\ninvalid MaxWait -1ns: want 0 or 1ms to 720h0m0s"},
	}
	for _, tt := range tests {
		got := ""
		if err := ratelimit.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("Validate() of %+v = %q, want %q", tt.config, got, tt.want)
		}
	}
	p := new(ratelimit.Policy)
	if err := p.Validate(); err == nil {
		t.Error("Validate() of a Policy made without New = nil, want an error")
	}
	if err := p.Do(t.Context(), orders, succeed); err == nil || policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() of a Policy made without New = %v, want a permanent error", err)
	}
}

func TestDefaultBurst(t *testing.T) {
	for rate, want := range map[float64]int{0: 100, 0.5: 1, 1.9: 1, 20: 20} {
		synctest.Test(t, func(t *testing.T) {
			p := ratelimit.New(ratelimit.Config{Rate: rate})
			got := 0
			for p.Do(t.Context(), orders, succeed) == nil {
				got++
			}
			if got != want {
				t.Errorf("rate %v: %d calls at once, want %d", rate, got, want)
			}
		})
	}
}
