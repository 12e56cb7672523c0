package bulkhead_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func TestConformance(t *testing.T) {
	for name, config := range map[string]bulkhead.Config{
		"does not wait": {Slots: 1},
		"waits":         {Slots: 1, MaxWait: time.Minute, MaxQueue: 50},
		"global":        {Slots: 1, MaxWait: time.Minute, MaxQueue: 1, Global: true},
		"default":       {},
	} {
		t.Run(name, func(t *testing.T) {
			policytest.Run(t, func() policy.Policy { return bulkhead.New(config) })
		})
	}
}

func TestDo(t *testing.T) {
	tests := []struct {
		name   string
		config bulkhead.Config // with 1 slot, which is taken for 10 s
		ctx    time.Duration   // the caller's deadline; 0 for none
		queue  int             // how many calls wait already, each of which takes 10 s
		want   string          // the error
		took   time.Duration
	}{
		{name: "does not wait", want: `bulkhead: full for "orders": 1 of 1 slots are taken`},
		{name: "waits long enough", config: bulkhead.Config{MaxWait: time.Minute}, took: 10 * time.Second},
		{
			name: "waits too short", config: bulkhead.Config{MaxWait: time.Second},
			want: `bulkhead: full for "orders": no slot within 1s`, took: time.Second,
		},
		{name: "queue", config: bulkhead.Config{MaxWait: time.Minute, MaxQueue: 3}, queue: 2, took: 30 * time.Second},
		{
			name: "queue is full", config: bulkhead.Config{MaxWait: time.Minute, MaxQueue: 3}, queue: 3,
			want: `bulkhead: full for "orders": 3 of 3 calls wait`,
		},
		{
			name: "default queue is as long as there are slots", config: bulkhead.Config{MaxWait: time.Minute}, queue: 1,
			want: `bulkhead: full for "orders": 1 of 1 calls wait`,
		},
		{
			name: "deadline", config: bulkhead.Config{MaxWait: time.Minute}, ctx: time.Second,
			want: `bulkhead: full for "orders": no slot before the deadline`, took: time.Second,
		},
		{name: "late deadline", config: bulkhead.Config{MaxWait: time.Minute}, ctx: time.Minute, took: 10 * time.Second},
		{
			name: "global", config: bulkhead.Config{Global: true},
			want: `bulkhead: full: 1 of 1 slots are taken`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.config.Slots = 1
				p := bulkhead.New(tt.config)
				occupy(t, p, 1+tt.queue, 10*time.Second)
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
				if !errors.Is(err, bulkhead.ErrFull) || !errors.Is(err, policy.ErrRejected) || policy.ClassOf(err) != policy.Rejected {
					t.Errorf("Do() = %v of class %v, want ErrFull of class %v", err, policy.ClassOf(err), policy.Rejected)
				}
				if !policy.NoEffect(err) || policy.ErrorType(err) != "bulkhead_full" {
					t.Errorf("Do() = %v: NoEffect %v, ErrorType %q, want true, bulkhead_full", err, policy.NoEffect(err), policy.ErrorType(err))
				}
				if passed := ctx.Err() != nil; errors.Is(err, context.DeadlineExceeded) != passed {
					t.Errorf("errors.Is(%v, %v) = %v, want %v", err, context.DeadlineExceeded, !passed, passed)
				}
			})
		})
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bulkhead.New(bulkhead.Config{Slots: 2, MaxWait: time.Hour, MaxQueue: 100})
		occupy(t, p, 1, time.Second)
		time.Sleep(500 * time.Millisecond)
		occupy(t, p, 1, time.Second) // so that the two slots are never freed at once
		served := make(chan int, 100)
		for i := range cap(served) {
			go func() {
				_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error {
					served <- i
					time.Sleep(time.Second)
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
		time.Sleep(time.Second)
		synctest.Wait()
		wantGauges(t, p, "at the end", 0, 0)
	})
}

func TestCanceledWaiterGivesItsPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Hour, MaxQueue: 2})
		occupy(t, p, 1, 10*time.Second)
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("gone home")
		go func() {
			if err := p.Do(ctx, orders, succeed); err != reason {
				t.Errorf("Do() = %v, want the cause %v", err, reason)
			}
		}()
		synctest.Wait()
		second := make(chan time.Time, 1)
		start := time.Now()
		go func() {
			_ = p.Do(t.Context(), orders, succeed)
			second <- time.Now()
		}()
		synctest.Wait()
		wantGauges(t, p, "two wait", 1, 2)
		if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, bulkhead.ErrFull) {
			t.Errorf("Do() = %v with the queue full, want %v", err, bulkhead.ErrFull)
		}
		cancel(reason)
		synctest.Wait()
		wantGauges(t, p, "one has left", 1, 1)
		if err := p.Do(t.Context(), orders, succeed); err != nil {
			t.Errorf("Do() = %v with a place in the queue given back, want nil", err)
		}
		if took := (<-second).Sub(start); took != 10*time.Second {
			t.Errorf("who waited behind got its turn after %v, want 10s", took)
		}
		wantGauges(t, p, "at the end", 0, 0)
	})
}

func TestTimedOutOperationThatStillRunsHoldsItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := bulkhead.New(bulkhead.Config{Slots: 1})
		p := pipeline.Must(pipeline.New("reports", timeout.New(timeout.Config{Limit: time.Second}), guard))
		go func() {
			if err := p.Do(t.Context(), orders, takes(time.Minute)); err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
		}()
		time.Sleep(59 * time.Second)
		if err := guard.Do(t.Context(), orders, succeed); !errors.Is(err, bulkhead.ErrFull) {
			t.Errorf("Do() = %v while an operation runs whose time is up, want %v", err, bulkhead.ErrFull)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := guard.Do(t.Context(), orders, succeed); err != nil {
			t.Errorf("Do() = %v once the operation has ended, want nil", err)
		}
	})
}

func TestPipelinesShareTheSlotsOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := bulkhead.New(bulkhead.Config{Slots: 2})
		one := pipeline.Must(pipeline.New("one", shared))
		other := pipeline.Must(pipeline.New("other", shared))
		occupy(t, one, 1, time.Second)
		occupy(t, other, 1, time.Second)
		for _, p := range []policy.Policy{one, other} {
			if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, bulkhead.ErrFull) {
				t.Errorf("%s: Do() = %v with a slot taken by each pipeline, want %v", p.Name(), err, bulkhead.ErrFull)
			}
		}
	})
}

func TestKeysHaveSlotsOfTheirOwn(t *testing.T) {
	users := policy.Call{Name: "users.get", Key: "users"}
	for _, global := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := bulkhead.New(bulkhead.Config{Slots: 1, Global: global})
			occupy(t, p, 1, time.Second)
			if err := p.Do(t.Context(), users, succeed); errors.Is(err, bulkhead.ErrFull) != global {
				t.Errorf("global %v: Do() = %v with the other key's slot taken", global, err)
			}
		})
	}
}

func TestNoWaitBeginsThatWouldOutlastTheDeadline(t *testing.T) {
	tests := []struct {
		name  string
		freed int           // slots freed since calls began to wait, one each second
		ahead int           // calls that wait
		time  time.Duration // left
		took  time.Duration
		want  error
	}{
		{name: "hopeless", freed: 5, ahead: 5, time: 6 * time.Second, want: bulkhead.ErrFull},
		{name: "in time", freed: 5, ahead: 5, time: 6*time.Second + 1, took: 6 * time.Second},
		{name: "in time with few ahead", freed: 5, ahead: 1, time: 3 * time.Second, took: 2 * time.Second},
		{name: "not known yet", freed: 4, ahead: 5, time: 3 * time.Second, took: 3 * time.Second, want: bulkhead.ErrFull},
		{name: "known for long", freed: 50, ahead: 5, time: 3 * time.Second, want: bulkhead.ErrFull},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Hour, MaxQueue: 100})
				occupy(t, p, 1+tt.freed+tt.ahead, time.Second)
				time.Sleep(time.Duration(tt.freed) * time.Second)
				synctest.Wait()
				wantGauges(t, p, "when the call comes", 1, tt.ahead)

				start := time.Now()
				err := p.Do(within(t, tt.time), orders, succeed)
				if took := time.Since(start); !errors.Is(err, tt.want) || took != tt.took {
					t.Errorf("Do() = %v after %v, want %v after %v", err, took, tt.want, tt.took)
				}
			})
		})
	}
}

func TestPaceIsThatOfTheQueueAtHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Hour, MaxQueue: 100})
		occupy(t, p, 20, time.Minute) // a slow queue, long ago
		time.Sleep(time.Hour)
		occupy(t, p, 4, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		start := time.Now()
		if err := p.Do(within(t, 5*time.Second), orders, succeed); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("Do() = %v after %v, want nil after 3s", err, time.Since(start))
		}
	})
}

func TestKeysAreBounded(t *testing.T) {
	p := bulkhead.New(bulkhead.Config{})
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
func crowd(t *testing.T, p *bulkhead.Policy, n int) {
	t.Helper()
	for i := range n {
		if err := p.Do(t.Context(), policy.Call{Key: fmt.Sprintf("host-%d", i)}, succeed); err != nil {
			t.Fatalf("Do() = %v, want nil", err)
		}
	}
}

func TestNoKeyIsForgottenWithASlotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := bulkhead.New(bulkhead.Config{Slots: 2})
		occupy(t, p, 1, time.Second)
		crowd(t, p, 5000)
		wantGauges(t, p, "after 5000 other keys", 1, 0)
		occupy(t, p, 1, time.Second)
		if err := p.Do(t.Context(), orders, succeed); !errors.Is(err, bulkhead.ErrFull) {
			t.Errorf("Do() = %v with both slots taken, want %v", err, bulkhead.ErrFull)
		}
	})
}

// Calls of all kinds come and go, while keys are forgotten all the time.
func TestNeverMoreCallsRunThanThereAreSlots(t *testing.T) {
	for _, config := range []bulkhead.Config{
		{Slots: 1},
		{Slots: 3, MaxWait: time.Hour, MaxQueue: 100},
		{Slots: 3, MaxWait: time.Millisecond, MaxQueue: 5},
		{Slots: 2, MaxWait: time.Hour, MaxQueue: 100, Global: true},
	} {
		t.Run(fmt.Sprintf("%+v", config), func(t *testing.T) {
			t.Parallel()
			p := bulkhead.New(config)
			var running [3]atomic.Int32
			var most atomic.Int32
			var wg sync.WaitGroup
			for i := range 16 {
				wg.Go(func() {
					for j := range 200 {
						which := (i + j) % len(running)
						if config.Global {
							which = 0
						}
						call := policy.Call{Key: fmt.Sprint(which)}
						_ = p.Do(t.Context(), policy.Call{Key: fmt.Sprint("host", i, j)}, succeed)
						turbulent(t, p, call, func() {
							for n := running[which].Add(1); ; {
								if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
									break
								}
							}
							runtime.Gosched()
							running[which].Add(-1)
						})
					}
				})
			}
			wg.Wait()
			if got := int(most.Load()); got > config.Slots {
				t.Errorf("%d calls of a key ran at a time, want at most %d", got, config.Slots)
			}
			wantGauges(t, p, "at the end", 0, 0)
		})
	}
}

// turbulent makes a call that may panic, exit, or lose its caller.
func turbulent(t *testing.T, p *bulkhead.Policy, call policy.Call, work func()) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	end := func() {}
	switch rand.IntN(8) {
	case 0:
		end = func() { panic("test") }
	case 1:
		end = runtime.Goexit
	case 2:
		cancel()
	case 3:
		timer := time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer func() { _ = recover() }()
		_ = p.Do(ctx, call, func(context.Context, policy.Call) error {
			work()
			end()
			return nil
		})
	})
	wg.Wait()
}

func TestWhatIsTold(t *testing.T) {
	tests := []struct {
		name   string
		config bulkhead.Config
		ctx    time.Duration
		cancel time.Duration
		busy   int
		want   string
	}{
		{name: "free", want: "admitted"},
		{name: "full", busy: 1, want: "bulkhead.rejected slots=1 reason=full, rejected"},
		{
			name: "waits", busy: 2, config: bulkhead.Config{MaxWait: time.Minute, MaxQueue: 2},
			want: "bulkhead wait slots=1 ahead=1, bulkhead wait ended, waited",
		},
		{
			name: "waits too long", busy: 1, config: bulkhead.Config{MaxWait: time.Second},
			want: "bulkhead wait slots=1 ahead=0, bulkhead wait ended, bulkhead.rejected slots=1 reason=max_wait, rejected",
		},
		{
			name: "queue is full", busy: 2, config: bulkhead.Config{MaxWait: time.Minute},
			want: "bulkhead.rejected slots=1 reason=queue_full, rejected",
		},
		{
			name: "deadline", busy: 1, config: bulkhead.Config{MaxWait: time.Minute}, ctx: time.Second,
			want: "bulkhead wait slots=1 ahead=0, bulkhead wait ended, bulkhead.rejected slots=1 reason=deadline, rejected",
		},
		{
			name: "caller leaves", busy: 1, config: bulkhead.Config{MaxWait: time.Minute}, cancel: time.Second,
			want: "bulkhead wait slots=1 ahead=0, bulkhead wait ended, canceled",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.config.Slots = 1
				p := bulkhead.New(tt.config)
				occupy(t, p, tt.busy, 10*time.Second)
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

func TestOutcomeOfAPanic(t *testing.T) {
	p, r := bulkhead.New(bulkhead.Config{}), new(recorder)
	func() {
		defer func() { _ = recover() }()
		_ = p.Do(t.Context(), orders.WithRecorder(r), func(context.Context, policy.Call) error { panic("test") })
	}()
	if got := strings.Join(r.said, ", "); got != "admitted" {
		t.Errorf("policy said %q of a call that panicked, want admitted", got)
	}
}

func TestListenerThatPanicsCostsNoSlot(t *testing.T) {
	for _, when := range []string{"bulkhead wait slots", "bulkhead wait ended", "bulkhead.rejected", "rejected"} {
		for _, after := range []time.Duration{time.Second, 10 * time.Second} { // when the slot is given back
			synctest.Test(t, func(t *testing.T) {
				p := bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: 5 * time.Second})
				occupy(t, p, 1, after)
				func() {
					defer func() { _ = recover() }()
					_ = p.Do(t.Context(), orders.WithRecorder(&recorder{panics: when}), succeed)
				}()
				time.Sleep(time.Minute)
				wantGauges(t, p, "after a panic at "+when, 0, 0)
			})
		}
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		config bulkhead.Config
		want   string
	}{
		{bulkhead.Config{}, ""},
		{bulkhead.Config{Slots: 1, MaxWait: time.Millisecond, MaxQueue: 1}, ""},
		{bulkhead.Config{Slots: -1}, "invalid Slots -1: want 1 to 1000000"},
		{bulkhead.Config{Slots: 1_000_001}, "invalid Slots 1000001: want 1 to 1000000"},
		{bulkhead.Config{MaxWait: 30}, "invalid MaxWait 30ns: want 0 or 1ms to 720h0m0s"},
		{bulkhead.Config{MaxWait: -time.Second}, "invalid MaxWait -1s: want 0 or 1ms to 720h0m0s"},
		{bulkhead.Config{MaxWait: time.Second, MaxQueue: -1}, "invalid MaxQueue -1: want 1 to 1000000"},
		{bulkhead.Config{MaxQueue: 5}, "invalid MaxQueue 5: want a MaxWait too, or nothing waits"},
		{bulkhead.Config{Slots: -1, MaxQueue: -1}, "invalid Slots -1: want 1 to 1000000\ninvalid MaxQueue -1: want 1 to 1000000"},
	}
	for _, tt := range tests {
		got := ""
		if err := bulkhead.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("Validate() of %+v = %q, want %q", tt.config, got, tt.want)
		}
	}
	p := new(bulkhead.Policy)
	if err := p.Validate(); err == nil {
		t.Error("Validate() of a Policy made without New = nil, want an error")
	}
	if err := p.Do(t.Context(), orders, succeed); err == nil || policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() of a Policy made without New = %v, want a permanent error", err)
	}
}
