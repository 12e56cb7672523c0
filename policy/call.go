package policy

import (
	"errors"
	"iter"
)

// A Call describes one operation on its way through a pipeline.
//
// It is a value: a policy that changes its copy changes what later policies
// see, and nothing else. The zero Call is valid. Policies pass on the call that
// they were given, or a copy; a new Call would lead nowhere.
type Call struct {
	// Name says what the call does, in few distinct values: "users.get",
	// "HTTP GET". It names the call's span.
	Name string

	// Key says what the call acts on; for HTTP the origin, such as
	// "https://api.example.com". Policies with state keep it per key.
	Key string

	// Attempt counts the tries of a retried call from 1. It is 0 outside of a
	// retry.
	Attempt int

	// Hedge counts the hedges of a call from 1: the attempts that were sent because
	// those before took long, and that are under way together with them. It is 0 for
	// the first of them, and outside of a hedge.
	Hedge int

	// Once marks a call that must not be repeated once it may have taken
	// effect; see [NoEffect].
	Once bool

	// Calls are copied at every step of their way. Compilers copy 16 bytes at a
	// time, and would copy the last 8 of an odd number of words together with the 8
	// before, which have just been written: the processor then has to wait, longer
	// than for all the rest. So the number of words is even.

	headers   *header
	operation Operation
	recorder  Recorder
}

// A header is an element of a list that copies of a call share, last set first.
type header struct {
	HeaderField
	next *header
}

// WithHeader returns a copy of c that asks for a header to be sent with the
// operation, in place of one of that name that an outer policy asked for. The
// operation may refuse it: see [Call.Accepts].
func (c Call) WithHeader(name, value string) Call {
	c.headers = &header{HeaderField{Name: name, Value: value}, c.headers}
	return c
}

// WithHeaderFunc is like [Call.WithHeader], but for a header that depends on the
// request that carries it, such as a signature of its method and URL, or that
// must be another one for each. It is for HTTP: value is called each time that a
// request is sent, retries included, but not if the operation refuses the
// header, nor if an inner policy has asked for another one in its place.
//
// The method is as in the request line. The URL is absolute and as the server
// knows it, with the query, but without fragment, user name and password. An
// error keeps the request from being sent; its class says what becomes of the
// call, and its text appears in the call's error, so it must not tell secrets.
// value must be safe for concurrent use.
func (c Call) WithHeaderFunc(name string, value func(method, url string) (string, error)) Call {
	c.headers = &header{HeaderField{Name: name, Func: value}, c.headers}
	return c
}

// Header returns the headers that policies asked for, in the order in which
// they did. Of several with the same name the last one counts. Those of
// [Call.WithHeaderFunc] are left out, as there is no request that they could be
// computed for.
func (c Call) Header() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) { c.headers.each(yield) }
}

func (h *header) each(yield func(name, value string) bool) bool {
	return h == nil || h.next.each(yield) && (h.Func != nil || yield(h.Name, h.Value))
}

// Accepts reports whether the operation would send a header of the given name
// for a policy. An HTTP request does not if the caller has set that header
// itself, nor once a redirect has left the origin of its first request.
func (c Call) Accepts(header string) bool {
	return c.operation == nil || c.operation.Accepts(header)
}

// Resolve settles the call with a value instead of the operation's own: a
// policy that then returns nil has the caller receive value. A value that is
// not of the result's type is an error, as is a call without a result.
func (c Call) Resolve(value any) error {
	if c.operation == nil {
		return errNoResult
	}
	return c.operation.Resolve(value)
}

// Answer has the operation end with value as if it had come to that itself: an HTTP
// response of 503 is a failure. A policy that calls Answer in place of next returns
// what it returns. It is for those who simulate the other side; see
// [Call.Resolve] for those who know better.
func (c Call) Answer(value any) error {
	if a, ok := c.operation.(answerer); ok {
		return a.Answer(value)
	}
	return c.Resolve(value)
}

var errNoResult = errors.New("policy: the call has no result to resolve")
