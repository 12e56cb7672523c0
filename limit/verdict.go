package limit

import (
	"context"
	"errors"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A verdict is what the end of a call says about the load of the server.
type verdict uint8

const (
	ignored   verdict = iota // it says nothing
	succeeded                // it took as long as it takes
	refused                  // the server was too busy
	rejected                 // the call was not sent
)

// String returns the outcome of calls with that verdict.
func (v verdict) String() string {
	return [...]string{"ignored", "succeeded", "refused", "rejected"}[v]
}

// judge returns what err, with which a call given ctx has ended, says.
func (p *Policy) judge(ctx context.Context, err error) verdict {
	if err == nil {
		return succeeded
	}
	class := policy.ClassOf(err)
	if errors.Is(ctx.Err(), context.Canceled) || class == policy.Canceled || class == policy.Rejected {
		return ignored
	}
	busy := class != policy.Permanent && class != policy.Unauthenticated
	if p.config.Refused != nil {
		busy = p.config.Refused(err)
	}
	if busy {
		return refused
	}
	return ignored
}
