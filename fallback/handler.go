package fallback

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Handler answers a call that has failed with err: it gives the caller a result
// by [policy.Call.Resolve], if the call has one, and returns nil. If it returns
// err, or an error that wraps it, it has no answer to this failure, and that error
// is the call's. It must be safe for concurrent use.
//
// A Handler that carries out the call elsewhere has to see to [policy.Call.Once]
// itself: the operation may have taken effect, unless [policy.NoEffect] holds for
// err.
type Handler func(ctx context.Context, call policy.Call, err error) error

// Value returns a Handler that answers with value. Its type has to be that of
// the calls' results: in a pipeline whose calls have results of several types, the
// others fail as if there were no fallback, with an error that says so besides.
// All calls get the same value, so it must not be changed, and cannot be a
// *http.Response, whose body is read only once: see [Response].
func Value[T any](value T) Handler {
	if _, ok := any(value).(*http.Response); ok {
		return func(context.Context, policy.Call, error) error { return errShared }
	}
	return func(_ context.Context, call policy.Call, _ error) error { return call.Resolve(value) }
}

// Func returns a Handler that answers with what fn returns, such as a value of a
// cache, or that of another service. fn is given the call, and the error that it is
// to replace, which it returns if it has no answer. For HTTP, T is *http.Response;
// the body of one that was requested with ctx ends with that, so the policy then
// belongs outside of all timeouts.
func Func[T any](fn func(ctx context.Context, call policy.Call, err error) (T, error)) Handler {
	if fn == nil {
		return nil // which Validate complains about
	}
	return func(ctx context.Context, call policy.Call, err error) error {
		value, failure := fn(ctx, call, err)
		if failure != nil {
			return failure
		}
		return call.Resolve(value)
	}
}

// Response returns a Handler that answers HTTP requests with a response of the
// given status code, content type and body. The caller gets it whatever its
// status, and to the policies further out it is a success.
func Response(statusCode int, contentType, body string) Handler {
	return func(_ context.Context, call policy.Call, _ error) error {
		return call.Resolve(&http.Response{
			Status:        strings.TrimSpace(fmt.Sprintf("%d %s", statusCode, http.StatusText(statusCode))),
			StatusCode:    statusCode,
			Proto:         "HTTP/1.1",
			ProtoMajor:    1,
			ProtoMinor:    1,
			Header:        http.Header{"Content-Type": {contentType}},
			Body:          io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
		})
	}
}

var errShared = policy.WithClass(fmt.Errorf("fallback: invalid value of type %T: want Response or Func, as its body is read only once", (*http.Response)(nil)), policy.Permanent)
