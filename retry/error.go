package retry

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Reason says why a call was not tried again.
type Reason string

// The reasons, all there are.
const (
	ReasonAttempts Reason = "attempts" // MaxAttempts have been made
	ReasonDeadline Reason = "deadline" // the call's deadline has passed, or would before the next attempt
	ReasonBudget   Reason = "budget"   // too many calls are being retried already
	ReasonClass    Reason = "class"    // another attempt would not help
	ReasonOnce     Reason = "once"     // the call may have taken effect, or cannot be made again
	ReasonCanceled Reason = "canceled" // the caller has left
)

// An Error is what a [Policy] returns when it gives up.
type Error struct {
	Attempts int    // how many there were
	Reason   Reason // why there was no other
	Err      error  // the last failure that had a cause of its own

	// end is what ended the call after Err: that of the context, or another
	// policy's refusal of the last attempt. It is nil if Err did.
	end error
}

// giveUp returns the error of a call that is not tried again, and tells the
// reason.
func giveUp(ctx context.Context, call policy.Call, reason Reason, failure, end error) error {
	event := "retry.aborted"
	if reason == ReasonAttempts {
		event = "retry.exhausted"
	}
	call.Emit(ctx, event, slog.Int("attempts", call.Attempt), slog.String("reason", string(reason)))
	return &Error{call.Attempt, reason, failure, end}
}

// Error tells why there was no other attempt, how many there were, and what the
// last failure was.
func (e *Error) Error() string {
	text := fmt.Sprintf("retry: %s: %v", e.story(), e.Err)
	if e.end != nil {
		text += fmt.Sprintf("; then: %v", e.end)
	}
	return text
}

func (e *Error) story() string {
	attempts := "1 attempt"
	if e.Attempts != 1 {
		attempts = fmt.Sprintf("%d attempts", e.Attempts)
	}
	switch e.Reason {
	case ReasonAttempts:
		return attempts + " failed"
	case ReasonDeadline:
		return "no time for more than " + attempts
	case ReasonBudget:
		return "no budget for more than " + attempts
	case ReasonOnce:
		return "not repeated after " + attempts + ", which may have taken effect"
	case ReasonCanceled:
		return "canceled after " + attempts
	default:
		return fmt.Sprintf("not retried after %s (%v)", attempts, policy.ClassOf(cmp.Or(e.end, e.Err)))
	}
}

// Unwrap returns the last failure, and what ended the call after it.
func (e *Error) Unwrap() []error {
	if e.end != nil {
		return []error{e.Err, e.end}
	}
	return []error{e.Err}
}

// Is has errors of Reason [ReasonAttempts] match [ErrExhausted], and those of
// [ReasonBudget] match [policy.ErrRejected].
func (e *Error) Is(target error) bool {
	return target == ErrExhausted && e.Reason == ReasonAttempts ||
		target == policy.ErrRejected && e.Reason == ReasonBudget
}

// Class returns the class of the last failure, unless the budget or the caller
// ended the call.
func (e *Error) Class() policy.Class {
	switch e.Reason {
	case ReasonBudget:
		return policy.Rejected
	case ReasonCanceled:
		return policy.Canceled
	default:
		return policy.ClassOf(e.Err)
	}
}

// NoEffect reports whether neither the last failure nor what came after it had
// any effect, see [policy.NoEffect].
func (e *Error) NoEffect() bool {
	return policy.NoEffect(e.Err) && (e.end == nil || policy.NoEffect(e.end))
}

// ErrorType returns the type of the last failure, unless the budget or the
// caller ended the call.
func (e *Error) ErrorType() string {
	switch e.Reason {
	case ReasonBudget:
		return "retry_budget"
	case ReasonCanceled:
		return "canceled"
	default:
		return policy.ErrorType(e.Err)
	}
}
