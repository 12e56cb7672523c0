package local_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// busy is an error that says when to come back.
type busy time.Duration

func (b busy) Error() string                     { return "busy" }
func (b busy) RetryAfter() (time.Duration, bool) { return time.Duration(b), true }

var errDown = errors.New("down")

// TestDelays has a step fail as given. What becomes of it is the same if the engine is
// closed during each delay, and another one goes on, so delays are durable, and failures
// counted once.
func TestDelays(t *testing.T) {
	retry := workflow.Retry{InitialInterval: time.Minute, MaxInterval: 5 * time.Minute, GiveUpAfter: 30 * time.Minute}
	minutes := func(n ...time.Duration) []time.Duration {
		for i := range n {
			n[i] *= time.Minute
		}
		return n
	}
	tests := []struct {
		name     string
		failures []error // the last one is repeated
		want     []time.Duration
		err      string
	}{
		{"doubled up to the limit", []error{errDown, errDown, errDown, errDown, errDown, nil}, minutes(0, 1, 3, 7, 12, 17), ""},
		{"told when to come back", []error{errDown, busy(10 * time.Minute), busy(10 * time.Minute), errDown, nil}, minutes(0, 1, 11, 21, 23), ""},
		{"given up", []error{errDown}, minutes(0, 1, 3, 7, 12, 17, 22, 27), `step "s": down (given up after 27m0s)`},
		{"told too late", []error{errDown, busy(time.Hour)}, minutes(0, 1), `step "s": busy (given up after 1m0s)`},
		{"permanent", []error{errDown, policy.WithClass(errDown, policy.Permanent)}, minutes(0, 1), `step "s": down`},
	}
	for _, tt := range tests {
		for _, restarts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarts %v", tt.name, restarts), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var got []time.Duration
					start := time.Now()
					s := workflow.NewStep("s", nil, func(context.Context, int) (int, error) {
						got = append(got, time.Since(start))
						return 7, tt.failures[min(len(got), len(tt.failures))-1]
					})
					flow, store := sequence("f", &s), local.NewMemory(time.Hour)
					e := open(t, store, local.Config{Retry: retry}, flow)
					var err error
					done := make(chan bool)
					for ended := false; !ended; {
						go func() {
							_, err = flow.Run(t.Context(), e, "1", 0)
							done <- true
						}()
						if restarts {
							time.Sleep(37 * time.Second) // never when an attempt begins
							e.Close()
						}
						<-done
						if ended = !errors.Is(err, workflow.ErrClosed); !ended {
							e = open(t, store, local.Config{Retry: retry}, flow)
						}
					}
					if !slices.Equal(got, tt.want) {
						t.Errorf("attempts began after %v, want %v", got, tt.want)
					}
					text := ""
					if f, ok := errors.AsType[*workflow.Failure](err); ok {
						text = f.Error()
						if !workflow.IsPermanent(f) {
							t.Errorf("Run() = %v, want a permanent failure", f)
						}
					}
					if text != tt.err {
						t.Errorf("Run() = %v, want %q", err, tt.err)
					}
				})
			})
		}
	}
}

func TestRunsTellOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		start := time.Now()
		var hang atomic.Bool
		s := j.does("s", func(ctx context.Context) error {
			if hang.Load() {
				return blocks(ctx)
			}
			return errDown
		})
		flow := sequence("f", &s)
		store := local.NewMemory(time.Hour)
		e := open(t, store, local.Config{}, flow)
		go func() { _, _ = flow.Run(t.Context(), e, "1", 0) }()
		time.Sleep(90 * time.Second)
		if r, err := store.Load(local.Key{Flow: "f", ID: "1"}); err != nil || len(r.Entries) != 1 || r.Entries[0].Attempts != 2 {
			t.Errorf("the record is %+v, %v, want both attempts to be in it", r, err)
		}
		got := status(t, e)
		if got.State != workflow.Waiting || got.Step != "s" || got.Attempts != 2 || got.Next.Sub(start) != 3*time.Minute || got.Err == nil || got.Err.Error() != `step "s": down` {
			t.Errorf("Runs() = %+v, want one that waits for attempt 3 of s at 3m, as it is down", got)
		}
		hang.Store(true)
		time.Sleep(2 * time.Minute)
		got = status(t, e)
		if got.State != workflow.Running || got.Step != "s" || got.Attempts != 3 || !got.Next.IsZero() || got.Err == nil {
			t.Errorf("Runs() = %+v, want one that is at attempt 3 of s", got)
		}
	})
}

func TestClosingIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		s := j.does("s", blocks)
		flow, store := sequence("f", &s), local.NewMemory(time.Hour)
		for range 3 {
			e := open(t, store, local.Config{}, flow)
			var caller sync.WaitGroup
			caller.Go(func() { unfinished(t, e, flow, workflow.ErrClosed) })
			synctest.Wait()
			if got := status(t, e); got.State != workflow.Running || got.Attempts != 1 || got.Err != nil {
				t.Errorf("Runs() = %+v, want one that is at its first attempt", got)
			}
			e.Close()
			caller.Wait()
		}
		j.want(t, "s", "s", "s")
	})
}

func TestStepsThatHangAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		hangs := j.does("hangs", blocks)
		flow := sequence("f", &hangs)
		e := open(t, local.NewMemory(time.Hour), local.Config{Retry: workflow.Retry{GiveUpAfter: 3 * time.Hour}}, flow)
		start := time.Now()
		_, err := flow.Run(t.Context(), e, "1", 0)
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || !workflow.IsPermanent(f) || f.Step() != "hangs" || time.Since(start) != 3*time.Hour {
			t.Errorf("Run() = %v after %v, want that the step is given up after 3h", err, time.Since(start))
		}
		j.want(t, "hangs")
	})
}
