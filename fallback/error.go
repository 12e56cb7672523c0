package fallback

import (
	"fmt"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A failedError is the error of a call whose fallback has failed, too.
type failedError struct {
	replaced error // what the fallback was for
	failure  error // its own
}

func (e *failedError) Error() string {
	return fmt.Sprintf("%v; then the fallback: %v", e.replaced, e.failure)
}

func (e *failedError) Unwrap() []error { return []error{e.replaced, e.failure} }

// Class returns the class of what was to be replaced. It is not [policy.NotSent] if
// the fallback may have taken effect instead.
func (e *failedError) Class() policy.Class {
	class := policy.ClassOf(e.replaced)
	if class == policy.NotSent && !e.NoEffect() {
		return policy.Transient
	}
	return class
}

// ErrorType and NoEffect answer for the error, see package policy.

func (e *failedError) ErrorType() string { return policy.ErrorType(e.replaced) }

func (e *failedError) NoEffect() bool {
	return policy.NoEffect(e.replaced) && policy.NoEffect(e.failure)
}
