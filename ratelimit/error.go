package ratelimit

import (
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

var errNotMade = policy.WithClass(errors.New("ratelimit: not usable: want a Policy made with New"), policy.Permanent)

// An exceededError is the error of a call that was rejected.
type exceededError struct {
	config  *Config
	key     string
	retryIn time.Duration // 0 if not known
	cause   error         // the end of the context, if that came first
}

// reason says why the call was rejected. It is an attribute of the event.
func (e *exceededError) reason() string {
	switch {
	case e.retryIn <= e.config.MaxWait:
		return "deadline"
	case e.config.MaxWait > 0:
		return "max_wait"
	default:
		return "empty"
	}
}

func (e *exceededError) Error() string {
	text := ErrExceeded.Error()
	if e.key != "" {
		text = fmt.Sprintf("%s for %q", text, e.key)
	}
	text = fmt.Sprintf("%s: %v per second", text, e.config.Rate)
	if e.retryIn > 0 {
		text = fmt.Sprintf("%s, next in %v", text, e.retryIn.Round(time.Microsecond))
	}
	switch e.reason() {
	case "deadline":
		return text + ", after the deadline"
	case "max_wait":
		return fmt.Sprintf("%s, after MaxWait %v", text, e.config.MaxWait)
	default:
		return text
	}
}

func (e *exceededError) Is(target error) bool {
	return target == ErrExceeded || target == policy.ErrRejected
}

func (e *exceededError) Unwrap() error { return e.cause }

// Class, ErrorType, NoEffect and RetryAfter answer for the error, see package policy.

func (e *exceededError) Class() policy.Class { return policy.Rejected }
func (e *exceededError) ErrorType() string   { return "rate_limited" }
func (e *exceededError) NoEffect() bool      { return true }

// RetryAfter returns how long it would have taken until there was a token.
func (e *exceededError) RetryAfter() (time.Duration, bool) { return e.retryIn, e.retryIn > 0 }
