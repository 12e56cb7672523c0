package pipeline

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// send sends the request once, in a span of its own, and measures that.
func (x *exchange) send(ctx context.Context, call policy.Call, header http.Header, body io.ReadCloser, sends int) (response *http.Response, err error) {
	if x.pipeline.foreignSpans {
		return x.roundTrip(context.WithValue(ctx, sendsKey{}, sends), header, body)
	}
	ctx, span := x.pipeline.startSend(ctx, x.req, call, header, sends)
	measured := x.pipeline.meters.requests.Enabled(ctx)
	if span == nil && !measured {
		return x.roundTrip(ctx, header, body)
	}
	start := time.Now()
	defer func() {
		errorType := sendErrorType(ctx, response, err)
		if measured {
			x.pipeline.meters.sent(ctx, time.Since(start), x.req, response, errorType)
		}
		if span != nil {
			endSend(span, response, errorType)
		}
	}()
	return x.roundTrip(ctx, header, body)
}

// roundTrip sends a copy of the request through the base. What policies did to
// ctx governs it until the headers arrive; the reading of the body is governed
// by the caller's context alone.
func (x *exchange) roundTrip(ctx context.Context, header http.Header, body io.ReadCloser) (*http.Response, error) {
	caller := x.req.Context()
	if same(ctx, caller) {
		return checked(x.base.RoundTrip(x.copy(ctx, header, body)))
	}
	sendCtx, l := newLease(ctx, caller)
	reading := false
	defer func() {
		if !reading {
			l.release()
		}
	}()
	response, err := checked(x.base.RoundTrip(x.copy(sendCtx, header, body)))
	switch {
	case err != nil:
		return nil, err
	case !l.letGo(): // ctx has ended, and with it the response
		_ = response.Body.Close()
		return nil, context.Cause(ctx)
	case response.Body != http.NoBody:
		reading = true
		response.Body = releasing(response.Body, l.release)
	}
	return response, nil
}

// checked returns what a base transport has returned, if it kept the contract
// of [http.RoundTripper].
func checked(response *http.Response, err error) (*http.Response, error) {
	switch {
	case err != nil:
		return nil, err
	case response == nil:
		return nil, errNothing
	case response.Body == nil:
		response.Body = http.NoBody
	}
	return response, nil
}

// copy returns a request that the base may do with as it likes.
func (x *exchange) copy(ctx context.Context, header http.Header, body io.ReadCloser) *http.Request {
	req, url := x.req.WithContext(ctx), *x.req.URL
	req.URL, req.Header, req.Body = &url, header, body
	return req
}

// blame returns the error to be had of a send that failed with err. If a
// policy's deadline has ended it, that is the reason, and not the cancellation
// by which the base learned of it.
func blame(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && policy.ClassOf(err) == policy.Canceled {
		return context.Cause(ctx)
	}
	return err
}

// A finalError is a failure after which the request cannot be sent again.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }
func (e *finalError) Final() bool   { return true }

// Timeout keeps what net.Error and url.Error ask for.
func (e *finalError) Timeout() bool { return policy.Timeout(e.error) }

// validHeader reports whether a header can be sent as it is (RFC 9110, section
// 5.1 and 5.5).
func validHeader(name, value string) bool {
	if name == "" {
		return false
	}
	for _, c := range []byte(name) {
		if !isTokenChar(c) {
			return false
		}
	}
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func isTokenChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
