package policy

import (
	"errors"
	"time"
)

// RetryAfter returns how long the sender of err asks to be left alone, which
// errors say with a method RetryAfter() (time.Duration, bool). It is never
// negative, and a day at most.
func RetryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[interface {
		error
		RetryAfter() (time.Duration, bool)
	}](err)
	if !ok {
		return 0, false
	}
	d, ok := e.RetryAfter()
	return min(max(0, d), 24*time.Hour), ok
}

// NoEffect reports whether err certainly came before the call took any effect,
// so that even a Once call may be repeated. That holds for the classes [NotSent]
// and [Rejected], unless an error says otherwise with a method NoEffect() bool, by
// which those of other classes, such as a 429, say that it holds for them.
func NoEffect(err error) bool {
	if e, ok := errors.AsType[interface {
		error
		NoEffect() bool
	}](err); ok {
		return e.NoEffect()
	}
	class := ClassOf(err)
	return class == NotSent || class == Rejected
}

// Final reports whether the call cannot be made again after err, whatever its
// class: its input is used up, such as a request body that cannot be read
// twice. Errors say so with a method Final() bool.
func Final(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Final() bool
	}](err)
	return ok && e.Final()
}

// Timeout reports whether err is a timeout, which errors say with a method
// Timeout() bool, as [net.Error] asks for.
func Timeout(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && e.Timeout()
}

// ErrorType returns a short name of the kind of error for telemetry
// (OpenTelemetry's attribute error.type), one of few distinct values, such as
// "timeout", "circuit_open", "connection_reset" or "503". Errors name
// themselves with a method ErrorType() string; what is unknown is "_OTHER".
func ErrorType(err error) string {
	if e, ok := errors.AsType[interface {
		error
		ErrorType() string
	}](err); ok {
		return e.ErrorType()
	}
	return known(err).errorType
}
