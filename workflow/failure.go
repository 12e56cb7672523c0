package workflow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Failure is how a step or a run has failed, as data: engines keep it as JSON, so
// a flow sees the same failure after a crash as before. It matches no sentinels,
// but policies and [policy.ClassOf] understand it. Its text is that of the error, without what
// may be secret of the URLs of a [url.Error]: user, password, query and fragment.
type Failure struct { //nolint:errname // It is data first.
	step       string
	message    string
	errorType  string
	class      policy.Class
	retryAfter time.Duration
}

// NewFailure returns the failure of a step that has ended with err, or of a flow if
// step is "". It is for engines. A failure stays what it is; that of a flow names
// the step to blame for it, if there is one. It returns nil if err is nil.
func NewFailure(step string, err error) *Failure {
	if err == nil {
		return nil
	}
	cause, ok := errors.AsType[*Failure](err)
	if ok && err == error(cause) { //nolint:errorlint // What wraps it says more.
		return cause
	}
	// JSON would change what is not UTF-8.
	f := &Failure{step: step, message: strings.ToValidUTF8(message(err), "\uFFFD"), errorType: policy.ErrorType(err), class: policy.ClassOf(err)}
	f.retryAfter, _ = policy.RetryAfter(err)
	switch {
	case step != "":
		f.message = fmt.Sprintf("step %q: %s", step, f.message)
	case ok:
		f.step = cause.step
	}
	return f
}

// IsPermanent reports whether err is of class [policy.Permanent]: nobody will try
// again, and the flow may undo what it has done. A step that the engine has given
// up is among them.
func IsPermanent(err error) bool { return err != nil && policy.ClassOf(err) == policy.Permanent }

// Step returns the name of the step that has failed, or "" if it was none.
func (f *Failure) Step() string { return f.step }

// Error returns what has failed, and why, in words.
func (f *Failure) Error() string { return f.message }

// Class returns that of the error that the step or the flow has ended with.
func (f *Failure) Class() policy.Class { return f.class }

// RetryAfter returns how long whoever refused the step has asked to be left alone.
func (f *Failure) RetryAfter() (time.Duration, bool) { return f.retryAfter, f.retryAfter > 0 }

// ErrorType returns the kind of the error, see [policy.ErrorType].
func (f *Failure) ErrorType() string { return f.errorType }

// NoEffect returns false, whatever the class: an attempt before, or a step, may have taken
// effect. See [policy.NoEffect].
func (f *Failure) NoEffect() bool { return false }

// GivenUp returns the failure of a step that was tried for as long as given, and
// will not be tried again: it is permanent. It is for engines.
func (f *Failure) GivenUp(after time.Duration) *Failure {
	g := *f
	g.message = fmt.Sprintf("%s (given up after %v)", f.message, after)
	g.class, g.retryAfter = policy.Permanent, 0
	return &g
}

// A record is a failure as JSON.
type record struct {
	Step       string `json:"step,omitempty"`
	Message    string `json:"message"`
	Type       string `json:"type,omitempty"`
	Class      string `json:"class"`
	RetryAfter string `json:"retry_after,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (f *Failure) MarshalJSON() ([]byte, error) {
	r := record{Step: f.step, Message: f.message, Type: f.errorType, Class: f.class.String()}
	if f.retryAfter > 0 {
		r.RetryAfter = f.retryAfter.String()
	}
	return json.Marshal(r)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *Failure) UnmarshalJSON(data []byte) error {
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("workflow: failure: %w", err)
	}
	class, err := parseClass(r.Class)
	if err != nil {
		return err
	}
	wait, err := time.ParseDuration(cmp.Or(r.RetryAfter, "0s"))
	if err != nil {
		return fmt.Errorf("workflow: failure: retry_after: %w", err)
	}
	*f = Failure{r.Step, r.Message, r.Type, class, wait}
	return nil
}

func parseClass(name string) (policy.Class, error) {
	for c := policy.Transient; c <= policy.Rejected; c++ {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("workflow: failure: unknown class %q", name)
}
