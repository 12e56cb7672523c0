package retry_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// No attempt begins that most likely cannot end before the deadline.
func TestAttemptsThatWouldBeTooLateAreNotMade(t *testing.T) {
	tests := map[string]struct {
		seen  int           // failed attempts before, of a second each
		key   string        // of the call
		left  time.Duration // until the deadline
		want  int           // attempts
		wants retry.Reason
	}{
		"nothing is known":         {0, "slow", 1400 * time.Millisecond, 2, retry.ReasonAttempts},
		"too little is known":      {9, "slow", 1400 * time.Millisecond, 2, retry.ReasonAttempts},
		"there is not enough time": {40, "slow", 1400 * time.Millisecond, 1, retry.ReasonDeadline},
		"there is enough time":     {40, "slow", 3 * time.Second, 2, retry.ReasonAttempts},
		"others are slow":          {40, "other", 1400 * time.Millisecond, 2, retry.ReasonAttempts},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := retry.New(retry.Config{MaxAttempts: 2, Jitter: retry.NoJitter, Budget: retry.Unlimited})
				attempts := 0
				slow := func(context.Context, policy.Call) error {
					attempts++
					time.Sleep(time.Second)
					return io.ErrUnexpectedEOF
				}
				patient, leave := context.WithTimeout(t.Context(), time.Hour)
				defer leave()
				for attempts < 2*tt.seen { // every second one is measured for sure
					_ = p.Do(patient, policy.Call{Key: "slow"}, slow)
				}
				attempts = 0
				ctx, cancel := context.WithTimeout(t.Context(), tt.left+time.Millisecond)
				defer cancel()
				fast := func(context.Context, policy.Call) error {
					attempts++
					time.Sleep(tt.left / 4)
					return io.ErrUnexpectedEOF
				}
				err := p.Do(ctx, policy.Call{Key: tt.key}, fast)
				failure, ok := errors.AsType[*retry.Error](err)
				if !ok || failure.Reason != tt.wants || attempts != tt.want || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("Do() = %v after %d attempts, want reason %q after %d, and the last failure", err, attempts, tt.wants, tt.want)
				}
			})
		})
	}
}
