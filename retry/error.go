package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

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

// An Error is what a [Policy] returns when it gives up. It must not be changed: several calls
// that were refused alike may have the same.
type Error struct {
	Attempts int    // how many there were
	Reason   Reason // why there was no other
	Err      error  // the last failure that had a cause of its own

	// end is what ended the call after Err: that of the context, or another
	// policy's refusal of the last attempt. It is nil if Err did.
	end error

	noEffect bool          // whether no attempt has had any effect
	waited   time.Duration // between attempts
}

// add takes down that one more attempt has failed, with err. What is not the
// operation's own failure, but the end of ctx or a policy's refusal, does not take
// the place of one that is.
func (e *Error) add(ctx context.Context, err error) {
	class := policy.ClassOf(err)
	e.noEffect = e.noEffect && policy.NoEffect(err)
	if ctx.Err() != nil || class == policy.Rejected || class == policy.Canceled {
		e.end = err
		return
	}
	e.Err, e.end = err, nil
}

// wait lets the delay before the next attempt pass.
func (e *Error) wait(ctx context.Context, call policy.Call, delay time.Duration, source string, err error) error {
	if call.Recorder() == nil {
		return policy.Sleep(ctx, delay) // and nobody wants to know
	}
	began := time.Now()
	defer func() { e.waited += time.Since(began) }()
	errorType := policy.ErrorType(err)
	attrs := [...]slog.Attr{
		slog.Duration("delay", delay),
		slog.String("delay.source", source),
		slog.String("reason", errorType),
		slog.Int("next_attempt", call.Attempt+1),
	}
	ctx, end := call.Step(ctx, "backoff after "+errorType, attrs[:]...)
	defer end(nil)
	call.Emit(ctx, "retry.scheduled", attrs[:]...)
	return policy.Sleep(ctx, delay)
}

// giveUp makes e the error of a call that is not tried again, and tells the
// reason.
func (e *Error) giveUp(ctx context.Context, call policy.Call, reason Reason) {
	e.Reason = reason
	if cause := context.Cause(ctx); cause != nil && e.end == nil && !errors.Is(e.Err, cause) {
		e.end = cause
	}
	e.tell(ctx, call)
}

// tell tells why the call is not tried again.
func (e *Error) tell(ctx context.Context, call policy.Call) {
	event := "retry.aborted"
	if e.Reason == ReasonAttempts {
		event = "retry.exhausted"
	}
	call.Emit(ctx, event, slog.Int("attempts", e.Attempts), slog.String("reason", string(e.Reason)))
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
		if policy.Final(e.Err) {
			return "cannot be repeated after " + attempts
		}
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
		target == policy.ErrRejected && e.Reason == ReasonBudget ||
		errors.Is(e.Err, target) // which spares most of those who ask the slice of Unwrap
}

// Class returns the class of the last failure, unless the budget or the caller
// ended the call. It is not [policy.NotSent] if any attempt was.
func (e *Error) Class() policy.Class {
	class := policy.ClassOf(e.Err)
	switch {
	case e.Reason == ReasonBudget:
		return policy.Rejected
	case e.Reason == ReasonCanceled:
		return policy.Canceled
	case class == policy.NotSent && !e.noEffect:
		return policy.Transient
	default:
		return class
	}
}

// NoEffect reports whether no attempt has had any effect, see
// [policy.NoEffect].
func (e *Error) NoEffect() bool { return e.noEffect }

// Timeout reports whether the last failure, or what came after it, was a
// timeout, as [net.Error] asks for.
func (e *Error) Timeout() bool { return policy.Timeout(e.Err) || policy.Timeout(e.end) }

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
