package policy

import "errors"

// ErrRejected matches the errors of calls that a policy refused, such as by an
// open circuit or a full bulkhead. They are of class [Rejected].
var ErrRejected error = &sentinel{"policy: rejected", Rejected}

// ErrUnauthenticated matches the errors that blame the call's credentials.
// They are of class [Unauthenticated]. An operation returns it, or an error
// that wraps it, to have the token replaced.
var ErrUnauthenticated error = &sentinel{"policy: unauthenticated", Unauthenticated}

// A Class says what policies may conclude from an error. It is all that they
// go by, so errors of a protocol of your own need only a class to be handled as
// well as those of HTTP.
type Class uint8

const (
	// Transient errors may pass: a 500, a connection reset, the timeout of an
	// attempt. It is the class of errors that nothing is known about. They are
	// retried, but not for Once calls, and count as failures of the server.
	Transient Class = iota

	// Throttled errors ask for less: 429, 503 with Retry-After. They are
	// retried from a longer delay and never sooner than asked for.
	Throttled

	// NotSent errors certainly came before any effect: dial, DNS, connection
	// refused. They are retried even for Once calls.
	NotSent

	// Unauthenticated errors blame the credentials: 401. A retry cannot help,
	// a new token can.
	Unauthenticated

	// Permanent errors would occur again: a bad request, a failed validation.
	// They are not retried. The server is well: it answered.
	Permanent

	// Canceled errors came about because the caller left, or because another
	// attempt was faster. Nobody is to blame.
	Canceled

	// Rejected errors are refusals by a policy: an open circuit, a full
	// bulkhead, no budget. The server had no part in it.
	Rejected
)

var classNames = [...]string{"transient", "throttled", "not_sent", "unauthenticated", "permanent", "canceled", "rejected"}

// String returns the class's name in snake case.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "invalid"
}

// ClassOf returns the class of err, which must not be nil.
//
// An error answers for itself with a method Class() Class, which is found through
// any wrapping, joined errors included; the first answer counts. The errors of
// packages context, crypto/tls, io, io/fs, net, net/url and syscall are known; of
// several errors joined all must be [NotSent] for that. Everything else is
// [Transient], so that it is retried and counts against the server: give errors
// like sql.ErrNoRows, which is neither, a class of their own by [WithClass] or such
// a method.
//
// A context's error does not tell whose context has ended. A policy that needs to
// know whether its caller has left, or only an attempt has timed out, looks at
// the Err of the context that it was given itself.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[interface {
		error
		Class() Class
	}](err); ok {
		return e.Class()
	}
	return known(err).class
}

// WithClass returns an error of the given class that wraps err and reads the
// same. It returns nil if err is nil.
func WithClass(err error, class Class) error {
	if err == nil {
		return nil
	}
	return &classified{err, class}
}

type classified struct {
	error
	class Class
}

func (e *classified) Class() Class  { return e.class }
func (e *classified) Unwrap() error { return e.error }

// Timeout keeps what net.Error and url.Error ask for.
func (e *classified) Timeout() bool { return Timeout(e.error) }

func (e *classified) Is(target error) bool {
	s, ok := target.(*sentinel)
	return ok && s.class == e.class
}

// A sentinel is matched by every error of its class that this package knows.
type sentinel struct {
	text  string
	class Class
}

func (s *sentinel) Error() string     { return s.text }
func (s *sentinel) Class() Class      { return s.class }
func (s *sentinel) ErrorType() string { return s.class.errorType() }

func (c Class) errorType() string {
	switch c {
	case Unauthenticated:
		return "auth"
	case Canceled:
		return "canceled"
	default:
		return "_OTHER"
	}
}
