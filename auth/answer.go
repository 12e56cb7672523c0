package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An answerError is the answer of a token endpoint that has no token for us.
type answerError struct {
	status     int
	code       string // "" if there was none, "other" if it is not ours to tell
	retryAfter time.Duration
}

func (e *answerError) Error() string {
	text := "the token endpoint answered " + strconv.Itoa(e.status)
	if e.code != "" {
		text += " " + e.code
	}
	return text
}

// isAnswer reports whether err is an answer with the given code.
func isAnswer(err error, code string) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.code == code
}

// The codes of RFC 6749, section 5.2, RFC 8707, section 2, and RFC 9449, section
// 5: the request is wrong and will stay so.
var terminalCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "invalid_target", badProof,
}

// Codes that pass. They are those of the authorization endpoint (RFC 6749,
// section 4.1.2.1), which some servers use here too, and that of RFC 9449, section
// 8.
var passingCodes = []string{"server_error", "temporarily_unavailable", needsNonce}

// Class implements the method that [policy.ClassOf] asks for. Codes go before
// the status: some servers refuse with 401, some with 200.
func (e *answerError) Class() policy.Class {
	switch {
	case slices.Contains(terminalCodes, e.code):
		return policy.Permanent
	case slices.Contains(passingCodes, e.code), e.status >= 500,
		e.status == http.StatusRequestTimeout, e.status == http.StatusTooManyRequests:
		return policy.Transient
	default:
		return policy.Permanent
	}
}

// ErrorType implements the method that [policy.ErrorType] asks for: the code if
// it is one of few, or else the status.
func (e *answerError) ErrorType() string {
	if e.code == "" || e.code == "other" {
		return strconv.Itoa(e.status)
	}
	return e.code
}

// RetryAfter implements the method that [policy.RetryAfter] asks for.
func (e *answerError) RetryAfter() (time.Duration, bool) { return e.retryAfter, e.retryAfter > 0 }

// A lostGrantError says that the refresh token is good for nothing any more.
type lostGrantError struct{ *answerError }

func (e *lostGrantError) Is(target error) bool { return target == ErrReauthRequired }
func (e *lostGrantError) Unwrap() error        { return e.answerError }

// sanitized returns what may be told of an error of x/oauth2, whose text may
// repeat what the server sent, which may be what we sent.
func sanitized(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return answerOf(e)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		retryAfter, _ := policy.RetryAfter(err)
		return &requestError{"token request", safe(e.Err), policy.ClassOf(err), policy.ErrorType(err), retryAfter}
	}
	if ctx.Err() != nil {
		return &requestError{"token request", ctx.Err(), policy.Transient, "timeout", 0}
	}
	return errMalformed
}

// cleaned returns err with a text that may be told, if it comes from x/oauth2 or
// an HTTP client, and nil if it does not. What a source says of its error, by
// wrapping it or by its class, remains.
func cleaned(ctx context.Context, err error) *cleanedError {
	_, retrieve := errors.AsType[*oauth2.RetrieveError](err)
	_, request := errors.AsType[*url.Error](err)
	if retrieve || request {
		return &cleanedError{sanitized(ctx, err), err}
	}
	return nil
}

type cleanedError struct {
	told error
	err  error
}

func (e *cleanedError) Error() string   { return e.told.Error() }
func (e *cleanedError) Unwrap() []error { return []error{e.err, e.told} }

var errMalformed = errors.New("the token endpoint's answer is malformed or incomplete")

func answerOf(e *oauth2.RetrieveError) *answerError {
	answer := &answerError{code: e.ErrorCode}
	if e.Response != nil {
		answer.status = e.Response.StatusCode
		answer.retryAfter = retryAfter(e.Response.Header.Get("Retry-After"))
	}
	if answer.code != "" && !slices.Contains(terminalCodes, answer.code) && !slices.Contains(passingCodes, answer.code) {
		answer.code = "other"
	}
	return answer
}

// A requestError says that a request, for a token or for what a token request
// needs, got no answer.
type requestError struct {
	what       string
	err        error // nil if it is not ours to tell
	class      policy.Class
	errorType  string
	retryAfter time.Duration
}

func (e *requestError) Error() string {
	if e.err != nil {
		return e.what + ": " + e.err.Error()
	}
	return e.what + ": no usable answer"
}

func (e *requestError) Unwrap() error       { return e.err }
func (e *requestError) Class() policy.Class { return e.class }
func (e *requestError) ErrorType() string   { return e.errorType }

func (e *requestError) RetryAfter() (time.Duration, bool) { return e.retryAfter, e.retryAfter > 0 }

// safe returns the part of an HTTP client's error that is known to tell of
// addresses and certificates only, or nil. Others quote what the server sent.
func safe(err error) error {
	if e, ok := errors.AsType[setupError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*AuthError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	for _, known := range []error{policy.ErrRejected, context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	return nil
}

// retryAfter returns how long a Retry-After header asks to wait (RFC 9110,
// section 10.2.3), 0 if it makes no sense.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, maxLifetime)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}

// An opaqueError is an error of a foreign source, whose text may hold anything.
type opaqueError struct{ error }

func (e opaqueError) Error() string {
	return fmt.Sprintf("the token source failed with an error of type %T", e.error)
}
func (e opaqueError) Unwrap() error { return e.error }
