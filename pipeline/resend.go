package pipeline

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// MarkResends returns a transport that has the span of a request, which another
// transport has made, tell how often the request was sent before, in the
// attribute http.request.resend_count. It goes below what makes the spans:
//
//	p.WithoutHTTPSpans().Transport(otelhttp.NewTransport(pipeline.MarkResends(nil)))
//
// The base is [http.DefaultTransport] if nil.
func MarkResends(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &resends{base}
}

type resends struct{ base http.RoundTripper }

// sendsKey is where contexts have how often their request has been sent, this
// time included.
type sendsKey struct{}

// RoundTrip implements [http.RoundTripper].
func (r *resends) RoundTrip(req *http.Request) (*http.Response, error) {
	if sends, ok := req.Context().Value(sendsKey{}).(int); ok && sends > 1 {
		trace.SpanFromContext(req.Context()).SetAttributes(attribute.Int("http.request.resend_count", sends-1))
	}
	return r.base.RoundTrip(req)
}

// CloseIdleConnections has [http.Client.CloseIdleConnections] reach the base.
func (r *resends) CloseIdleConnections() { closeIdle(r.base) }

func closeIdle(base http.RoundTripper) {
	if c, ok := base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}
