package pipeline

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// startSend starts the span of a request on the wire, after OpenTelemetry's
// semantic conventions for HTTP clients, and writes the trace context into its
// header. There is no span if nobody could want it: nothing records, and no
// trace came in from elsewhere.
func (p *Pipeline) startSend(ctx context.Context, req *http.Request, call policy.Call, header http.Header, sends int) (context.Context, trace.Span) {
	if p.tracer == nil {
		return ctx, nil
	}
	if parent := trace.SpanFromContext(ctx); !parent.IsRecording() && !parent.SpanContext().IsValid() {
		return ctx, nil
	}
	method, original := knownMethod(req.Method)
	attrs := append(make([]attribute.KeyValue, 0, 8),
		attribute.String("http.request.method", method),
		attribute.String("server.address", req.URL.Hostname()),
		attribute.Int("server.port", portOf(req.URL)),
		attribute.String("url.full", redacted(req.URL)),
	)
	if original != "" {
		attrs = append(attrs, attribute.String("http.request.method_original", original))
	}
	if sends > 1 {
		attrs = append(attrs, attribute.Int("http.request.resend_count", sends-1))
	}
	if call.Attempt > 0 {
		attrs = append(attrs, attribute.Int("evenkeel.attempt", call.Attempt))
	}
	name := method
	if original != "" {
		name = "HTTP"
	}
	ctx, span := p.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	fields := p.propagator.Fields()
	for name := range header { // which need not be canonical
		if slices.ContainsFunc(fields, func(field string) bool { return strings.EqualFold(field, name) }) {
			delete(header, name)
		}
	}
	p.propagator.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, span
}

// endSend ends the span of a request: its answer has arrived, or will not.
func endSend(ctx context.Context, span trace.Span, response *http.Response, err error) {
	defer span.End()
	switch {
	case err != nil:
		if err = blame(ctx, err); !left(ctx, err) {
			fail(span, policy.ErrorType(err))
		}
	case response == nil:
		fail(span, "panic")
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
		if response.StatusCode >= 400 {
			fail(span, strconv.Itoa(response.StatusCode))
		}
	}
}

// countSends puts the number of requests that a call has sent on its span.
func (s *speaker) countSends(sends int) {
	s.span.SetAttributes(attribute.Int("evenkeel.pipeline.sends", sends))
}

// knownMethod returns the method's name as the conventions have it, and the
// original if it is none of those known.
func knownMethod(method string) (name, original string) {
	if method == "" {
		return http.MethodGet, ""
	}
	if _, ok := callNames[method]; ok {
		return method, ""
	}
	return "_OTHER", method
}

func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	return map[string]int{"http": 80, "https": 443}[u.Scheme]
}

// redacted returns u without what may be secret: user, password, query and
// fragment.
func redacted(u *url.URL) string {
	return cmp.Or(u.Scheme, "http") + "://" + u.Host + u.EscapedPath()
}
