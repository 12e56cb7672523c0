package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

var (
	errNotMade = policy.WithClass(errors.New("breaker: not usable: want a Policy made with New"), policy.Permanent)
	errNothing = errors.New("breaker: says nothing")
)

// An openError is the error of calls that were rejected.
type openError struct {
	key   string
	state State
	until time.Time // when a probe may pass; zero if that is not known
}

func (e *openError) Error() string {
	text := ErrOpen.Error()
	if e.key != "" {
		text = fmt.Sprintf("%s for %q", text, e.key)
	}
	switch {
	case e.state == HalfOpen:
		return text + ": all probes are under way"
	case e.until.IsZero():
		return text + ": forced"
	default:
		return fmt.Sprintf("%s: next probe in %v", text, e.wait().Round(time.Millisecond))
	}
}

func (e *openError) Is(target error) bool {
	return target == ErrOpen || target == policy.ErrRejected
}

// Class, ErrorType, NoEffect and RetryAfter answer for the error, see package policy.

func (e *openError) Class() policy.Class { return policy.Rejected }
func (e *openError) ErrorType() string   { return "circuit_open" }
func (e *openError) NoEffect() bool      { return true }

// RetryAfter returns how long it takes until a probe may pass.
func (e *openError) RetryAfter() (time.Duration, bool) {
	if e.until.IsZero() {
		return 0, false
	}
	return e.wait(), true
}

func (e *openError) wait() time.Duration { return max(0, time.Until(e.until)) }
