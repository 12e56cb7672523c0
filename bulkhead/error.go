package bulkhead

import (
	"errors"
	"fmt"

	"github.com/evenkeel-go/evenkeel/policy"
)

var errNotMade = policy.WithClass(errors.New("bulkhead: not usable: want a Policy made with New"), policy.Permanent)

// A reason says why a call was rejected. It is an attribute of the event.
type reason string

const (
	reasonFull      reason = "full"
	reasonQueueFull reason = "queue_full"
	reasonMaxWait   reason = "max_wait"
	reasonDeadline  reason = "deadline"
)

// A fullError is the error of a call that was rejected.
type fullError struct {
	config *Config
	key    string
	reason reason
	cause  error // the end of the context, if that ended the wait
}

func (e *fullError) Error() string {
	text := ErrFull.Error()
	if e.key != "" {
		text = fmt.Sprintf("%s for %q", text, e.key)
	}
	switch e.reason {
	case reasonQueueFull:
		return fmt.Sprintf("%s: %d of %d calls wait", text, e.config.MaxQueue, e.config.MaxQueue)
	case reasonMaxWait:
		return fmt.Sprintf("%s: no slot within %v", text, e.config.MaxWait)
	case reasonDeadline:
		return text + ": no slot before the deadline"
	case reasonFull:
	}
	return fmt.Sprintf("%s: %d of %d slots are taken", text, e.config.Slots, e.config.Slots)
}

func (e *fullError) Is(target error) bool {
	return target == ErrFull || target == policy.ErrRejected
}

func (e *fullError) Unwrap() error { return e.cause }

// Class, ErrorType and NoEffect answer for the error, see package policy.

func (e *fullError) Class() policy.Class { return policy.Rejected }
func (e *fullError) ErrorType() string   { return "bulkhead_full" }
func (e *fullError) NoEffect() bool      { return true }
