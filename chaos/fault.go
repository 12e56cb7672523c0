package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Fault is something that befalls a share of the calls: Latency, one of Status,
// Err and Outcome, or both.
type Fault struct {
	// Rate is the share of calls that meet the fault, from 0 to 1. Default: 0,
	// none.
	Rate float64 `json:"rate" yaml:"rate"`

	// Latency is how long the call is delayed, at most a day. It is then carried
	// out, unless it is to fail as well. Default: 0.
	Latency time.Duration `json:"latency" yaml:"latency"`

	// Status has an HTTP request answered with this status, from 200 to 599, and no
	// body. The policies further out see the same failure as if a server had sent
	// it, and the client gets the response. Calls that are not HTTP requests fail
	// with an error of class [policy.Permanent].
	Status int `json:"status" yaml:"status"`

	// Err has the call fail with an error that wraps it, and so is of its class,
	// and that matches [ErrInjected].
	Err error `json:"-" yaml:"-"`

	// Outcome takes the place of the operation: it may settle the call with a value
	// by [policy.Call.Resolve], return any error, or panic. It must be safe for
	// concurrent use.
	Outcome policy.Handler `json:"-" yaml:"-"`
}

// inject carries out the call as the fault has it.
func (f *Fault) inject(ctx context.Context, call policy.Call, next policy.Handler) error {
	switch {
	case f.Status != 0:
		return call.Answer(response(f.Status)) //nolint:bodyclose // The client does.
	case f.Err != nil:
		return &injectedError{f.Err}
	case f.Outcome != nil:
		return f.Outcome(ctx, call)
	default:
		return next(ctx, call)
	}
}

// attrs tells what the fault is.
func (f *Fault) attrs() []slog.Attr {
	kind, status, latency := "latency", slog.Attr{}, slog.Attr{}
	switch {
	case f.Status != 0:
		kind, status = "status", slog.Int("status", f.Status)
	case f.Err != nil:
		kind = "error"
	case f.Outcome != nil:
		kind = "outcome"
	}
	if f.Latency > 0 {
		latency = slog.Duration("latency", f.Latency)
	}
	return []slog.Attr{slog.String("fault", kind), status, latency}
}

func response(status int) *http.Response {
	return &http.Response{
		Status:     strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status))),
		StatusCode: status,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     make(http.Header),
		Body:       io.NopCloser(strings.NewReader("")),
	}
}

// An injectedError is the error of a call that was made to fail.
type injectedError struct{ err error }

func (e *injectedError) Error() string        { return fmt.Sprintf("%v: %v", ErrInjected, e.err) }
func (e *injectedError) Unwrap() error        { return e.err }
func (e *injectedError) Is(target error) bool { return target == ErrInjected }

// Timeout keeps what net.Error and url.Error ask for.
func (e *injectedError) Timeout() bool { return policy.Timeout(e.err) }
