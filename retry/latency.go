package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// samples reports whether the first attempt of a call is to be measured: that costs
// more than all the rest, so it is done for few, and only if there is a deadline to keep.
func samples(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return ok && rand.Uint32()%16 == 0 //nolint:gosec // Nobody gains by foreseeing it.
}

// attempt makes an attempt, and takes down how long it took, if there is a deadline
// to keep, unless it was not made in earnest: a policy refused it, or the caller has
// left.
func (p *Policy) attempt(ctx context.Context, call policy.Call, next policy.Handler) error {
	if _, ok := ctx.Deadline(); !ok {
		return next(ctx, call)
	}
	start := time.Now()
	err := next(ctx, call)
	if err == nil || inEarnest(policy.ClassOf(err)) {
		p.latencies.Of(call.Name, call.Key).Observe(time.Since(start), median)
	}
	return err
}

const median = 0.5

// inEarnest reports whether failures of the class are those of attempts that were made.
func inEarnest(class policy.Class) bool {
	return class != policy.Rejected && class != policy.Canceled
}

// fits reports whether an attempt after delay is likely to end before the deadline.
func (p *Policy) fits(ctx context.Context, call policy.Call, delay time.Duration) bool {
	if _, ok := ctx.Deadline(); !ok {
		return ctx.Err() == nil
	}
	return p.latencies.Of(call.Name, call.Key).Fits(ctx, delay)
}
