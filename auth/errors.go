package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An AuthError is the error of a call for which there is no token. It matches
// [ErrReauthRequired] or [ErrTokenUnavailable].
//
// It never wraps an error of the API, only what kept the token from coming.
// Either way the call has taken no effect. Failures that may pass are of class
// [policy.Throttled], so that a retry tries again, and not before a token is asked
// for again. Those of callers that have left are of class [policy.Canceled]. Others
// are of class [policy.Rejected] and are not retried. None counts against the API
// in a circuit breaker.
type AuthError struct { //nolint:revive // Beside errors of many other packages it is read without its package's name.
	// StatusCode is 401 if an HTTP API refused the call, and there is no other
	// token to try; 0 if the call was not sent, is not HTTP, or was refused only by
	// what [Config.Unauthenticated] says.
	StatusCode int

	// Challenges are what the API asked for when it refused the call.
	Challenges []Challenge

	// ErrorCode is the code that the token endpoint gave (RFC 6749, section
	// 5.2), such as "invalid_grant", or "other" if it is not one of those known
	// to be harmless. It is empty if there was none.
	ErrorCode string

	// Err is what kept the token from coming.
	Err error

	outcome outcome
	until   time.Time // no token is asked for before, if set
}

// An outcome says what becomes of a failure.
type outcome string

const (
	transient      outcome = "" // passes
	reauthRequired outcome = "reauth_required"
	configError    outcome = "config_error" // somebody has to look after it
	canceled       outcome = "canceled"     // the caller has left
)

// Error implements error.
func (e *AuthError) Error() string {
	text := e.sentinel().Error()
	if e.StatusCode != 0 {
		text += " after " + strconv.Itoa(e.StatusCode)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *AuthError) Unwrap() error { return e.Err }

// Is reports whether target is [ErrReauthRequired], [ErrTokenUnavailable], or
// [policy.ErrRejected], and applies.
func (e *AuthError) Is(target error) bool {
	return target == e.sentinel() || target == policy.ErrRejected && e.Class() == policy.Rejected
}

// Class implements the method that [policy.ClassOf] asks for.
func (e *AuthError) Class() policy.Class {
	switch e.outcome {
	case transient:
		return policy.Throttled
	case canceled:
		return policy.Canceled
	default:
		return policy.Rejected
	}
}

// RetryAfter returns how long it is until a token is asked for again; see
// [policy.RetryAfter].
func (e *AuthError) RetryAfter() (time.Duration, bool) {
	if e.until.IsZero() {
		return 0, false
	}
	return max(0, time.Until(e.until)), true
}

// NoEffect returns true: without a token no call takes effect. See
// [policy.NoEffect].
func (e *AuthError) NoEffect() bool { return true }

// ErrorType returns "auth", or "canceled" if the caller has left; see
// [policy.ErrorType].
func (e *AuthError) ErrorType() string {
	if e.outcome == canceled {
		return "canceled"
	}
	return "auth"
}

// Format implements [fmt.Formatter]. It prints the text of e whatever the verb,
// as challenges may repeat the token that they refuse.
func (e *AuthError) Format(f fmt.State, verb rune) { format(f, verb, e.Error()) }

// MarshalText returns the text of e, for JSON and others.
func (e *AuthError) MarshalText() ([]byte, error) { return []byte(e.Error()), nil }

func (e *AuthError) sentinel() error {
	if e.outcome == reauthRequired {
		return ErrReauthRequired
	}
	return ErrTokenUnavailable
}

// reason returns what kept the token from coming, for the span of the flight; it
// is no failure of the flight if its outcome is not wanted any more, or if there is
// just no better token.
func (e *AuthError) reason() error {
	switch {
	case e == nil, e == errSuperseded, e == errNoStepUp:
		return nil
	case policy.ErrorType(e.Err) == "_OTHER":
		return e
	default:
		return e.Err
	}
}

// orNil returns e as an error that is nil if e is.
func (e *AuthError) orNil() error {
	if e == nil {
		return nil
	}
	return e
}

// after returns a copy of e for a call that the API refused with err.
func (e *AuthError) after(err error) *AuthError {
	next := *e
	if policy.ClassOf(err) == policy.Unauthenticated {
		next.StatusCode, next.Challenges = statusOf(err), challengesOf(err)
	}
	return &next
}

func (e *AuthError) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("outcome", e.outcome.String())}
	if e.ErrorCode != "" {
		attrs = append(attrs, slog.String("error_code", e.ErrorCode))
	}
	return attrs
}

func (o outcome) String() string {
	if o == transient {
		return "transient"
	}
	return string(o)
}

// holds reports whether e, the last failure, stands for what another request
// would bring.
func (e *AuthError) holds(now time.Time) bool {
	return e != nil && (e.outcome == reauthRequired && e.until.IsZero() || now.Before(e.until))
}

const (
	minBackoff    = time.Second // half of it may be jitter
	maxBackoff    = 30 * time.Second
	maxRetryAfter = 5 * time.Minute
	configBackoff = time.Minute
	rereadEvery   = 5 * time.Second
)

// failed returns what becomes of a failed flight. It must be called with g.mu
// held.
func (g *grant) failed(err error) *AuthError {
	e := unavailable(err)
	inner, nested := errors.AsType[*AuthError](err) // of another policy, which recovers on its own
	switch class := policy.ClassOf(err); {
	case !nested && errors.Is(err, ErrReauthRequired):
		e.outcome = reauthRequired
		if g.fleet != nil { // and somebody may log in to another replica
			e.until = time.Now().Add(rereadEvery)
		}
	case errors.As(err, new(abortError)):
		// A bug, not an outage: whoever comes next may try.
	case nested && inner.Class() == policy.Rejected, class == policy.Permanent, class == policy.Unauthenticated:
		e.outcome = configError
		e.until = time.Now().Add(configBackoff)
	case errors.As(err, new(*storeError)): // by now there may be a token in it
		e.until = time.Now().Add(backoff(0))
	default:
		asked, _ := policy.RetryAfter(err)
		e.until = time.Now().Add(max(backoff(g.failures), min(asked, maxRetryAfter)))
		g.failures++
	}
	return e
}

// backoff returns how long to leave alone what has failed once more after the
// given number of failures: 0.5 s to 1 s at first, up to 15 s to 30 s.
func backoff(failures int) time.Duration {
	d := min(minBackoff<<min(failures, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

// unavailable returns the error of calls that have no token because of err.
func unavailable(err error) *AuthError {
	e := &AuthError{Err: err}
	if answer, ok := errors.AsType[*answerError](err); ok {
		e.ErrorCode = answer.code
	}
	return e
}

// foreign returns the error of calls that have no token because of err, of a
// function of the user's.
func foreign(err error) *AuthError {
	e := unavailable(err)
	switch class := policy.ClassOf(err); {
	case errors.Is(err, ErrReauthRequired):
		e.outcome = reauthRequired
	case class == policy.Permanent, class == policy.Unauthenticated, class == policy.Rejected:
		e.outcome = configError
	}
	return e
}

// refusal returns the error of calls that must not have a token.
func refusal(text string) *AuthError {
	return &AuthError{Err: errors.New(text), outcome: configError}
}

// errLeft returns the error of a call that left, as ctx has ended, before there
// was a token.
func errLeft(ctx context.Context) *AuthError {
	e := &AuthError{Err: context.Cause(ctx)}
	if errors.Is(ctx.Err(), context.Canceled) {
		e.outcome = canceled
	}
	return e
}

var errClosed = refusal("the policy is closed")

func errUnfinished(cause error) error {
	return fmt.Errorf("auth: a token request is under way, or its outcome not in the store yet: %w", cause)
}

var errRecursive = refusal("the token request came to the policy that waits for it: want another HTTPClient in Config.Source")

func insecureError(origin string) *AuthError {
	return refusal(shownURL(origin) + " is neither https nor loopback: want Config.AllowInsecure")
}
