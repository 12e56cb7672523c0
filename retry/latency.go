package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// samples reports whether the first attempt of a call is to be measured: that costs
// more than all the rest, so it is done for few, and only if there is a deadline.
func samples(ctx context.Context) bool {
	if rand.Uint32()%16 != 0 { //nolint:gosec // Nobody gains by foreseeing it.
		return false
	}
	_, ok := ctx.Deadline()
	return ok
}

// attempt makes an attempt, and takes down how long it took, unless it was not
// made in earnest: a policy refused it, or the caller has left.
func (p *Policy) attempt(ctx context.Context, call policy.Call, next policy.Handler) error {
	start := time.Now()
	err := next(ctx, call)
	if class := policy.ClassOf(err); err == nil || class != policy.Rejected && class != policy.Canceled {
		p.latencies.Of(call.Name, call.Key).Observe(time.Since(start), median)
	}
	return err
}

const median = 0.5
