package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An exchange is the operation of an HTTP request: it sends the request, as
// often as policies ask for, and keeps track of the responses.
type exchange struct {
	pipeline *Pipeline
	base     http.RoundTripper
	entrance *transport    // that the request came in by
	req      *http.Request // the caller's; never changed

	mu       sync.Mutex
	sends    int            // how often the request was sent
	inFlight int            // how many sends have not been answered
	good     *http.Response // the answer to settle for, if any
	goodAt   int            // how many sends there were when it came
	bad      []answer       // the answers that were failures, not discarded yet
	failed   error          // the last failure
	over     bool           // nobody wants an answer any more
}

// An answer is a response, and the failure that it is to policies, if it is one. That
// failure may have come with another copy of the response, of a call that shares it.
type answer struct {
	failure  *StatusError
	response *http.Response
}

// Accepts implements [policy.Operation].
func (x *exchange) Accepts(header string) bool {
	return !has(x.req.Header, header) && !strayed(x.req)
}

// has reports whether a header that need not be canonical has a field of that name.
func has(header http.Header, name string) bool {
	for field := range header {
		if strings.EqualFold(field, name) {
			return true
		}
	}
	return false
}

// Resolve implements [policy.Operation].
func (x *exchange) Resolve(value any) error {
	response, err := responseOf(value) //nolint:bodyclose // The exchange closes it, or the client does.
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.replace(response)
	return nil
}

// replace has x settle for a response, whatever was good before.
func (x *exchange) replace(response *http.Response) {
	if x.good != nil && x.good != response {
		drain(x.good)
	}
	x.good, x.goodAt = response, x.sends
}

// Answer is behind [policy.Call.Answer].
func (x *exchange) Answer(value any) error {
	response, err := responseOf(value) //nolint:bodyclose // The exchange closes it, or the client does.
	if err != nil {
		return err
	}
	if !x.fails(response) {
		return x.Resolve(response)
	}
	x.mu.Lock()
	x.forget()
	x.mu.Unlock()
	return x.failAs(response)
}

func responseOf(value any) (*http.Response, error) {
	response, ok := value.(*http.Response)
	if !ok || response == nil || response.Body == nil {
		return nil, policy.WithClass(fmt.Errorf("pipeline: invalid value %T: want a *http.Response with a body", value), policy.Permanent)
	}
	return response, nil
}

// Do implements [policy.Operation]: it sends the request.
func (x *exchange) Do(ctx context.Context, call policy.Call) error {
	header, err := x.header(call)
	if err != nil {
		return err
	}
	body, sends, err := x.begin()
	if err != nil {
		return err
	}
	defer x.end()
	if s, ok := call.Recorder().(*speaker); ok {
		s.countSends(sends)
	}
	response, err := x.send(ctx, call, header, body, sends) //nolint:bodyclose // The exchange closes it, or the client does.
	switch {
	case err != nil:
		return x.failWith(ctx, err)
	case x.fails(response):
		return x.failAs(response)
	default:
		x.keep(response, sends)
		return nil
	}
}

// fails reports whether response is a failure to policies.
func (x *exchange) fails(response *http.Response) bool {
	return failure(response.StatusCode) || slices.Contains(x.pipeline.failures, response.StatusCode)
}

// header returns the headers to send: the caller's, and below them what
// policies ask for.
func (x *exchange) header(call policy.Call) (http.Header, error) {
	header := x.req.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	for field := range call.HeaderFields() {
		if !x.Accepts(field.Name) {
			continue
		}
		value, err := x.value(field)
		if err != nil {
			return nil, err
		}
		if !validHeader(field.Name, value) {
			return nil, policy.WithClass(fmt.Errorf("pipeline: invalid header %q of a policy: want a token as name and no control characters in the value", field.Name), policy.Permanent)
		}
		header.Set(field.Name, value)
	}
	return header, nil
}

// value returns the value of a header for this request.
func (x *exchange) value(field policy.HeaderField) (string, error) {
	if field.Func == nil {
		return field.Value, nil
	}
	value, err := field.Func(cmp.Or(x.req.Method, http.MethodGet), targetOf(x.req))
	if err != nil {
		return "", &headerError{field.Name, err}
	}
	return value, nil
}

// A headerError says that a policy has no value for a header that it asked for.
// Nothing has been sent.
type headerError struct {
	name string
	err  error
}

func (e *headerError) Error() string  { return fmt.Sprintf("pipeline: header %q: %v", e.name, e.err) }
func (e *headerError) Unwrap() error  { return e.err }
func (e *headerError) NoEffect() bool { return true }

// begin prepares for sending: it provides a body, and forgets earlier failures.
func (x *exchange) begin() (body io.ReadCloser, sends int, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return nil, 0, errOver
	}
	body = x.req.Body
	if x.sends > 0 && hasBody(x.req) {
		if x.req.GetBody == nil {
			return nil, 0, x.spent(errSpent)
		}
		if body, err = x.req.GetBody(); err != nil {
			return nil, 0, x.spent(fmt.Errorf("pipeline: the request's GetBody: %w", err))
		}
	}
	x.forget()
	x.sends++
	x.inFlight++
	return body, x.sends, nil
}

// forget discards the failures of earlier sends, which nobody can want any more
// when there is to be another answer, unless others are in flight, whose policies
// may settle for them.
func (x *exchange) forget() {
	if x.inFlight == 0 {
		x.discardBad(nil)
	}
}

// spent returns the error of a request that cannot be sent again: the last
// failure, whose answer is still there, with the reason.
func (x *exchange) spent(reason error) error {
	if x.failed == nil {
		return &finalError{reason}
	}
	return &finalError{fmt.Errorf("%w (%w)", x.failed, reason)}
}

func (x *exchange) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inFlight--
}

// keep has x settle for the response to the given send. Of concurrent sends
// the first answer is kept; that of a later one takes the place of it.
func (x *exchange) keep(response *http.Response, send int) {
	if unwanted := x.pick(response, send); unwanted != nil { //nolint:bodyclose // Drain closes it.
		drain(unwanted) // without the lock: it takes time, and others need not wait
	}
}

// pick returns which response is not wanted any more: the one given, the one that
// it takes the place of, or none.
func (x *exchange) pick(response *http.Response, send int) (unwanted *http.Response) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over || x.good != nil && send <= x.goodAt {
		return response
	}
	unwanted = x.good
	x.good, x.goodAt = response, x.sends
	return unwanted
}

// failAs returns the failure that response is.
func (x *exchange) failAs(response *http.Response) error {
	err := &StatusError{StatusCode: response.StatusCode, response: response, received: time.Now(), final: !replayable(x.req)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		drain(response)
		return err
	}
	x.bad = append(x.bad, answer{err, response})
	x.failed = err
	return err
}

// failWith returns the failure that err of the base transport is.
func (x *exchange) failWith(ctx context.Context, err error) error {
	err = blame(ctx, err)
	if !replayable(x.req) {
		err = &finalError{err}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = err
	return err
}

// adopt has x end with a response that it has not sent for itself, and that is to
// policies what failure says.
func (x *exchange) adopt(response *http.Response, failure *StatusError) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.over:
		drain(response)
	case failure != nil:
		x.forget()
		x.bad = append(x.bad, answer{failure, response})
		x.failed = failure
	default:
		x.replace(response)
	}
}

// settle returns what the client gets for a call that ended with err.
func (x *exchange) settle(err error) (*http.Response, error) {
	chosen, _ := x.conclude(err)
	switch {
	case chosen != nil:
		chosen.Request = x.req
		return chosen, nil
	case err == nil:
		return nil, errNoResponse
	default:
		return nil, err
	}
}

// conclude returns the response that a call that ended with err comes to, if any,
// and the failure that it is to policies, if it is one. It discards all others.
func (x *exchange) conclude(err error) (*http.Response, *StatusError) {
	x.mu.Lock()
	defer x.mu.Unlock()
	chosen := x.choose(err)
	x.discard(chosen.response)
	return chosen.response, chosen.failure
}

// choose returns the response that a call that ended with err comes to: the
// one that was good, or the failure that the policies settle for.
func (x *exchange) choose(err error) answer {
	switch {
	case err == nil && x.good != nil:
		return answer{response: x.good}
	case err == nil && len(x.bad) > 0:
		return x.bad[len(x.bad)-1]
	case policy.ClassOf(err) == policy.Canceled:
		return answer{} // it could not be read
	}
	for _, bad := range slices.Backward(x.bad) {
		if wraps(err, bad.failure) {
			return bad
		}
	}
	return answer{}
}

// discard drains and closes all responses but the one given.
func (x *exchange) discard(but *http.Response) {
	if x.good != nil && x.good != but {
		drain(x.good)
	}
	x.good = nil
	x.discardBad(but)
}

func (x *exchange) discardBad(but *http.Response) {
	for _, bad := range x.bad {
		if bad.response != but {
			drain(bad.response)
		}
	}
	x.bad = x.bad[:0]
}

// close leaves nothing open, also when a policy panics or rejects the request
// before it is sent.
func (x *exchange) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	x.discard(nil)
	if x.sends == 0 && x.req.Body != nil {
		_ = x.req.Body.Close()
	}
}
