package pipeline

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Transport returns an [http.RoundTripper] that passes requests through p and
// then on to base, which is [http.DefaultTransport] if nil.
//
//	client := &http.Client{Transport: p.Transport(nil)}
//
// Inside of the pipeline, answers of 401, 408, 429 and 5xx are errors, see
// [StatusError] and [Pipeline.WithFailures]. If the policies settle for one,
// because its attempts are used up for instance, the client gets the response as
// the server sent it, body unread, and no error. The call's Key is the request's
// origin, and its Name is the one given by [WithCallName], or else "HTTP GET" and
// the like. GET, HEAD, OPTIONS, TRACE, PUT and DELETE may be repeated, as may
// requests with an Idempotency-Key, see [WithIdempotencyKey]; every other one is a
// Once call, and so is one whose body cannot be sent again for want of GetBody,
// which those of [http.NewRequest] mostly have.
//
// A deadline set by a policy ends when the response's headers have arrived, as
// do the call's spans. Only the request's own context governs the reading of the
// body.
//
// If it traces, it writes the trace context into the request, in place of one that
// the caller has written there. Headers that policies add never replace one that
// the caller has set. They go to the origin of a redirect chain's first request
// only, and to none once a redirect has left it.
func (p *Pipeline) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{pipeline: p, base: base}
}

// WithCallName returns a context whose HTTP requests are calls of the given
// name, which should have few distinct values, such as "users.get".
func WithCallName(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, callNameKey{}, name)
}

type callNameKey struct{}

type transport struct {
	pipeline *Pipeline
	base     http.RoundTripper
	first    atomic.Pointer[origin] // of the first request; most clients have no other
}

// CloseIdleConnections has [http.Client.CloseIdleConnections] reach the base.
func (t *transport) CloseIdleConnections() {
	closeIdle(t.base)
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	x := &exchange{pipeline: t.pipeline, base: t.base, entrance: t, req: req}
	defer x.close()
	if req.URL == nil {
		return nil, errNoURL
	}
	ctx := req.Context()
	name, _ := ctx.Value(callNameKey{}).(string)
	if name != "" {
		// A policy's own requests, such as for a token, are other calls.
		ctx = WithCallName(ctx, "")
	}
	call := policy.Call{
		Name: cmp.Or(name, callNames[req.Method], "HTTP"),
		Key:  t.originOf(req.URL),
		Once: !idempotent(req) || !replayable(req),
	}
	if key := IdempotencyKey(ctx); key != "" {
		ctx = WithIdempotencyKey(ctx, "")
		call = x.identify(call, key)
	}
	return x.settle(t.pipeline.do(ctx, call, x))
}

var (
	errNoURL      = policy.WithClass(errors.New("pipeline: invalid request: no URL"), policy.Permanent)
	errNoResponse = policy.WithClass(errors.New("pipeline: a policy settled the request without a response"), policy.Permanent)
	errNothing    = policy.WithClass(errors.New("pipeline: the base transport returned neither a response nor an error"), policy.Permanent)
	errOver       = policy.WithClass(errors.New("pipeline: the request is over: a policy called next after it had returned"), policy.Permanent)
	errSpent      = errors.New("pipeline: the request's body cannot be sent again")
)
