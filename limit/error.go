package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

var errNotMade = policy.WithClass(errors.New("limit: not usable: want a Policy made with New"), policy.Permanent)

// reject tells that the call is rejected and returns the error for it.
func reject(ctx context.Context, call policy.Call, allowed int64) error {
	call.Emit(ctx, "limit.rejected", slog.Int64("max_in_flight", allowed))
	call.Outcome(ctx, rejected.String())
	return &exceededError{call.Key, allowed}
}

// An exceededError is the error of a call that was rejected.
type exceededError struct {
	key     string
	allowed int64
}

func (e *exceededError) Error() string {
	text := ErrExceeded.Error()
	if e.key != "" {
		text = fmt.Sprintf("%s for %q", text, e.key)
	}
	return fmt.Sprintf("%s: %d calls may be in flight", text, e.allowed)
}

func (e *exceededError) Is(target error) bool {
	return target == ErrExceeded || target == policy.ErrRejected
}

// Class, ErrorType and NoEffect answer for the error, see package policy.

func (e *exceededError) Class() policy.Class { return policy.Rejected }
func (e *exceededError) ErrorType() string   { return "concurrency_limit" }
func (e *exceededError) NoEffect() bool      { return true }
