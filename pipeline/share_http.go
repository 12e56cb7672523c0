package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Identity implements [policy.Sharer]. Requests can be shared that change nothing
// (RFC 9110, section 9.2.1) and have no body. They are identical if they were
// made through the same Transport, with the same method, URL and header, but for
// the trace context.
func (x *exchange) Identity(call policy.Call) (string, bool) {
	if !safe(x.req.Method) || hasBody(x.req) || has(x.req.Header, "Upgrade") || x.computed(call) {
		return "", false
	}
	header, err := x.header(call)
	if err != nil {
		return "", false
	}
	fields := x.pipeline.propagator.Fields()
	var b strings.Builder
	// Two requests that are the same but for where they were redirected from may get
	// different headers from policies further in.
	_, _ = fmt.Fprintf(&b, "%p %t %q %q %q", x.entrance, strayed(x.req), cmp.Or(x.req.Method, http.MethodGet), x.req.Host, x.req.URL)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !slices.ContainsFunc(fields, func(field string) bool { return strings.EqualFold(field, name) }) {
			_, _ = fmt.Fprintf(&b, " %q %q", name, header[name])
		}
	}
	return b.String(), true
}

func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	default:
		return false
	}
}

// computed reports whether a policy has asked for a header that nobody knows before
// the request is sent.
func (x *exchange) computed(call policy.Call) bool {
	for field := range call.HeaderFields() {
		if field.Func != nil && x.Accepts(field.Name) {
			return true
		}
	}
	return false
}

// Share implements [policy.Sharer].
func (x *exchange) Share(ctx context.Context, maxBytes int64) (policy.Operation, policy.SharedOutcome) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &sharedExchange{maxBytes: maxBytes, cancel: cancel}
	s.exchange = exchange{pipeline: x.pipeline, base: x.base, entrance: x.entrance, req: x.req.Clone(own)}
	s.unfollow = context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return &s.exchange, s
}

// A sharedExchange is what a request has come to that was sent for several calls.
type sharedExchange struct {
	exchange exchange
	maxBytes int64
	cancel   context.CancelCauseFunc // ends the request's own context,
	unfollow func() bool             // which else ends with that of the execution

	// These are set by End.
	err      error
	response *http.Response // nil if there is none
	failure  *StatusError   // what the response is to policies, nil if it is good
	whole    bool           // whether all of the body is in memory
	body     []byte
	bodyErr  error // how the body ends, nil for io.EOF

	mu   sync.Mutex
	gone bool // whether a response that is not whole has been given away, or closed
}

// End implements [policy.SharedOutcome]. It reads the response, so that each call gets
// what there is to read and, if that is not all, the error after it.
func (s *sharedExchange) End(err error) {
	s.err = err
	s.response, s.failure = s.exchange.conclude(err) //nolint:bodyclose // Close does, or who gets it.
	s.exchange.close()
	if s.response != nil && s.shareable() {
		s.read()
	}
}

// shareable reports whether the response may be read before somebody wants it to be.
func (s *sharedExchange) shareable() bool {
	kind, _, _ := mime.ParseMediaType(s.response.Header.Get("Content-Type"))
	return kind != "text/event-stream" && (s.response.ContentLength <= s.maxBytes || s.response.Body == http.NoBody)
}

func (s *sharedExchange) read() {
	body := s.response.Body
	read, err := io.ReadAll(io.LimitReader(body, s.maxBytes+1))
	if int64(len(read)) > s.maxBytes {
		s.response.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(read), body), body}
		return
	}
	s.whole, s.body, s.bodyErr = true, read, err
	_ = body.Close()
}

// Settle implements [policy.SharedOutcome].
func (s *sharedExchange) Settle(call policy.Call) (ok bool, err error) {
	x, ok := innermost(call.Operation()).(*exchange)
	if !ok {
		return false, nil
	}
	if s.response == nil {
		return true, s.err
	}
	response := s.give(x.req.Context()) //nolint:bodyclose // The client does.
	if response == nil {
		return false, nil
	}
	x.adopt(response, s.failure)
	return true, s.err
}

// give returns a response for a call, or nil if there is only one and that is gone.
// ctx is that of the call's request.
func (s *sharedExchange) give(ctx context.Context) *http.Response {
	if s.whole {
		return s.copy()
	}
	if !s.take() {
		return nil
	}
	leave := context.AfterFunc(ctx, func() { s.cancel(context.Cause(ctx)) })
	s.response.Body = releasing(s.response.Body, func() { leave() })
	return s.response
}

// copy returns a response of a call's own.
func (s *sharedExchange) copy() *http.Response {
	response := *s.response
	response.Header, response.Trailer = response.Header.Clone(), response.Trailer.Clone()
	if response.Body != http.NoBody {
		response.Body = &sharedBody{bytes.NewReader(s.body), s.bodyErr}
	}
	return &response
}

// take reports whether the response is still to be had, for the one who asks first.
func (s *sharedExchange) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false
	}
	s.gone = true
	s.unfollow()
	return true
}

// Close implements [policy.SharedOutcome].
func (s *sharedExchange) Close() {
	s.exchange.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	s.unfollow()
	s.cancel(nil)
	if s.response != nil && !s.whole {
		_ = s.response.Body.Close()
	}
}

// A sharedBody is a reader of a body in memory.
type sharedBody struct {
	read *bytes.Reader
	err  error // how it ends, nil for io.EOF
}

func (b *sharedBody) Read(p []byte) (int, error) {
	n, err := b.read.Read(p)
	if err != nil && b.err != nil {
		err = b.err
	}
	return n, err
}

func (b *sharedBody) Close() error { return nil }
