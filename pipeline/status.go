package pipeline

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A StatusError is the failure of an HTTP request that was answered: 401, 408, 429
// and 5xx, and what [Pipeline.WithFailures] adds. Inside of a pipeline these are
// errors, so that policies need not know HTTP. If the policies settle for one, the
// HTTP client gets the response that it stands for.
type StatusError struct {
	StatusCode int // such as 503

	response *http.Response // nil if the error was made without one
	received time.Time
	final    bool // the request cannot be sent again
}

// NewStatusError returns what response is as a failure, whatever its status. It is for
// functions that send requests themselves, such as steps of package workflow: who is told
// of the failure then knows its class, and its Retry-After. The body is left alone.
//
// Its class is [policy.Permanent] if the status is below 500, except for 401, 408 and 429.
func NewStatusError(response *http.Response) *StatusError {
	return &StatusError{StatusCode: response.StatusCode, response: response, received: time.Now()}
}

// failure reports whether a response is a failure in every pipeline.
func failure(statusCode int) bool {
	switch statusCode {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return statusCode >= 500
}

// Error returns the status code and its text, and nothing of the response's
// headers or body.
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("http status %d %s", e.StatusCode, http.StatusText(e.StatusCode)))
}

// Class implements the method that [policy.ClassOf] looks for.
func (e *StatusError) Class() policy.Class {
	switch e.StatusCode {
	case http.StatusUnauthorized:
		return policy.Unauthenticated
	case http.StatusTooManyRequests:
		return policy.Throttled
	case http.StatusServiceUnavailable:
		if _, ok := e.RetryAfter(); ok {
			return policy.Throttled
		}
		return policy.Transient
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return policy.Permanent
	default:
		if e.StatusCode >= 500 || e.StatusCode == http.StatusRequestTimeout {
			return policy.Transient
		}
		return policy.Permanent
	}
}

// Is has 401 match [policy.ErrUnauthenticated].
func (e *StatusError) Is(target error) bool {
	return target == policy.ErrUnauthenticated && e.StatusCode == http.StatusUnauthorized
}

// ErrorType implements the method that [policy.ErrorType] looks for: the status
// code.
func (e *StatusError) ErrorType() string { return strconv.Itoa(e.StatusCode) }

// NoEffect implements the method that [policy.NoEffect] looks for: 401 and 429
// refuse a request before it takes effect.
func (e *StatusError) NoEffect() bool {
	return e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusTooManyRequests
}

// Final implements the method that [policy.Final] looks for: it reports whether
// the request's body has been used up.
func (e *StatusError) Final() bool { return e.final }

// RetryAfter implements the method that [policy.RetryAfter] looks for: the
// response's Retry-After, in seconds or as a date (RFC 9110, section 10.2.3),
// at most a day.
func (e *StatusError) RetryAfter() (time.Duration, bool) {
	if e.response == nil {
		return 0, false
	}
	return parseRetryAfter(e.response.Header.Get("Retry-After"), e.received)
}

// Header returns the value of a header of the response, or the empty string if
// there is none. What it says is the server's.
func (e *StatusError) Header(name string) string {
	if e.response == nil {
		return ""
	}
	return e.response.Header.Get(name)
}

// Challenges returns the values of the response's WWW-Authenticate headers
// (RFC 9110, section 11.6.1).
func (e *StatusError) Challenges() []string {
	if e.response == nil {
		return nil
	}
	return e.response.Header.Values("Www-Authenticate")
}

const maxRetryAfter = 24 * time.Hour

// parseRetryAfter returns how long after now a Retry-After header allows the
// next request, at most [maxRetryAfter] and never less than 0.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0, false
	}
	if strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil {
			seconds = math.MaxInt64 // out of range
		}
		return time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second, true
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	// Round strips the monotonic reading: a date is compared by the wall clock.
	return min(max(0, date.Sub(now.Round(0))), maxRetryAfter), true
}
