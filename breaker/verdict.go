package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A verdict is what the end of a call says about the other side. The zero
// verdict, that of a call that has not returned, says nothing.
type verdict struct {
	counts bool // whether it says anything
	failed bool
	slow   bool
}

var (
	nothing = verdict{}
	success = verdict{counts: true}
	failure = verdict{counts: true, failed: true}
)

// The outcomes of calls.
const (
	succeeded = "success"
	failed    = "failure"
	ignored   = "ignored" // it says nothing about the other side
	rejected  = "rejected"
)

func (v verdict) outcome() string {
	switch {
	case !v.counts:
		return ignored
	case v.failed || v.slow:
		return failed
	default:
		return succeeded
	}
}

// carryOut calls next and sets *v if that returns.
func (p *Policy) carryOut(ctx context.Context, call policy.Call, next policy.Handler, v *verdict) error {
	ended := ctx.Err() != nil
	var start time.Time
	if p.config.SlowCall > 0 {
		start = time.Now()
	}
	err := next(ctx, call)
	if ended && err != nil {
		return err // It may not even have been tried.
	}
	slow := p.config.SlowCall > 0 && time.Since(start) >= p.config.SlowCall
	*v = p.judge(ctx, err)
	v.slow = v.counts && slow
	return err
}

// judge returns what err, with which a call given ctx has ended, says.
func (p *Policy) judge(ctx context.Context, err error) verdict {
	if err == nil {
		return success
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nothing
	}
	class := policy.ClassOf(err)
	if class == policy.Canceled || class == policy.Rejected {
		return nothing
	}
	if p.config.Failure != nil {
		if p.config.Failure(err) {
			return failure
		}
		return success
	}
	switch class {
	case policy.Permanent:
		return success
	case policy.Unauthenticated:
		return nothing
	case policy.Throttled:
		if policy.NoEffect(err) {
			return nothing
		}
		return failure
	default:
		return failure
	}
}
