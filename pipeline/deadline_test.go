package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A hurry is a call that fails after a while, and has so much time.
type hurry struct {
	name     string
	policies func() []policy.Policy
	before   func(policy.Policy) // what they have seen
	during   func(policy.Policy) // what happens meanwhile
	takes    time.Duration       // each attempt
	limit    time.Duration
	want     time.Duration // until the call ends, after one attempt
	then     error         // what has ended it, besides the attempt's error
}

var hurries = []hurry{
	{
		name:     "backoff",
		policies: func() []policy.Policy { return []policy.Policy{after(time.Second)} },
		takes:    100 * time.Millisecond, limit: time.Second, want: 100 * time.Millisecond,
	},
	{
		name:     "attempt",
		policies: func() []policy.Policy { return []policy.Policy{after(100 * time.Millisecond)} },
		before:   func(p policy.Policy) { seen(p, 40, 100*time.Millisecond) },
		takes:    100 * time.Millisecond, limit: 300 * time.Millisecond, want: 100 * time.Millisecond,
	},
	{
		name: "hedge",
		policies: func() []policy.Policy {
			return []policy.Policy{hedge.New(hedge.Config{Delay: 100 * time.Millisecond, Budget: retry.Unlimited})}
		},
		before: func(p policy.Policy) { seen(p, 40, 200*time.Millisecond) },
		takes:  200 * time.Millisecond, limit: 300 * time.Millisecond, want: 200 * time.Millisecond,
	},
	{
		name: "wait for a slot",
		policies: func() []policy.Policy {
			return []policy.Policy{after(6 * time.Second), bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Minute, MaxQueue: 9})}
		},
		during: func(p policy.Policy) { // The slot is free again only after that.
			for range 9 {
				go seen(p, 1, time.Second)
			}
		},
		limit: 7 * time.Second, want: 6 * time.Second, then: bulkhead.ErrFull,
	},
	{
		name: "wait for the rate",
		policies: func() []policy.Policy {
			return []policy.Policy{after(100 * time.Millisecond), ratelimit.New(ratelimit.Config{Rate: 1, Burst: 1, MaxWait: time.Minute})}
		},
		limit: time.Second, want: 100 * time.Millisecond, then: ratelimit.ErrExceeded,
	},
}

// after returns a retry with a delay that is not drawn.
func after(d time.Duration) policy.Policy {
	return retry.New(retry.Config{InitialInterval: d, MaxInterval: d, Jitter: retry.NoJitter, Budget: retry.Unlimited})
}

// seen has p see some calls that take so long, and succeed at the second attempt.
func seen(p policy.Policy, calls int, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for range calls {
		_ = p.Do(ctx, policy.Call{Name: "test"}, func(ctx context.Context, call policy.Call) error {
			if err := policy.Sleep(ctx, took); err != nil || call.Attempt == 1 && calls > 1 {
				return errTest
			}
			return nil
		})
	}
}

// Nothing begins that cannot end before the deadline: no wait, no attempt, no hedge. The call ends
// at once, with the last error that has a cause of its own. It does not matter whose deadline it is.
func TestNothingBeginsThatCannotEndInTime(t *testing.T) {
	for _, tt := range hurries {
		t.Run(tt.name+", caller's deadline", func(t *testing.T) { tt.test(t, tt.limit, time.Hour) })
		t.Run(tt.name+", timeout", func(t *testing.T) { tt.test(t, time.Hour, tt.limit) })
	}
}

// test makes the call, whose caller has a deadline, and so has the pipeline.
func (tt hurry) test(t *testing.T, callers, total time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		inner := pipeline.Must(pipeline.New("inner", tt.policies()...))
		p := pipeline.Must(pipeline.New("p", timeout.New(timeout.Config{Limit: total}), inner))
		if tt.before != nil {
			tt.before(inner)
		}
		ctx, cancel := context.WithTimeout(t.Context(), callers)
		defer cancel()
		runs, start := 0, time.Now()
		_, err := pipeline.Run(ctx, p, "test", func(ctx context.Context) (int, error) {
			runs++
			if tt.during != nil {
				time.AfterFunc(time.Millisecond, func() { tt.during(inner) })
			}
			if err := policy.Sleep(ctx, tt.takes); err != nil {
				return 0, err
			}
			return 0, errTest
		})
		if took := time.Since(start); took != tt.want || runs != 1 || !errors.Is(err, errTest) || tt.then != nil && !errors.Is(err, tt.then) {
			t.Errorf("call = %v after %v and %d runs, want %v and %v after %v and 1 run", err, took, runs, errTest, tt.then, tt.want)
		}
		time.Sleep(time.Minute) // until all others have ended
	})
}
