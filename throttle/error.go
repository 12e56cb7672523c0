package throttle

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// reject tells that the call is rejected and returns the error for it.
func reject(ctx context.Context, call policy.Call, probability float64) error {
	call.Emit(ctx, "throttle.rejected", slog.Float64("probability", probability))
	call.Outcome(ctx, rejected.String())
	return &overloadedError{call.Key, probability}
}

// An overloadedError is the error of a call that was rejected.
type overloadedError struct {
	key         string
	probability float64
}

func (e *overloadedError) Error() string {
	text := ErrOverloaded.Error()
	if e.key != "" {
		text = fmt.Sprintf("%s for %q", text, e.key)
	}
	return fmt.Sprintf("%s: %.3g%% of calls are rejected", text, 100*e.probability)
}

func (e *overloadedError) Is(target error) bool {
	return target == ErrOverloaded || target == policy.ErrRejected
}

// Class, ErrorType and NoEffect answer for the error, see package policy.

func (e *overloadedError) Class() policy.Class { return policy.Rejected }
func (e *overloadedError) ErrorType() string   { return "throttled" }
func (e *overloadedError) NoEffect() bool      { return true }
