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
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// startSend starts the span of a request on the wire, after OpenTelemetry's
// semantic conventions for HTTP clients, and writes the trace context into its
// header. There is no span if nobody could want it: nothing records, and no
// trace came in from elsewhere.
func (p *Pipeline) startSend(ctx context.Context, req *http.Request, call policy.Call, header http.Header, sends int) (context.Context, trace.Span) {
	if p.tracer == nil || p.detail == NoSpans || p.foreignSpans {
		return ctx, nil
	}
	if parent := trace.SpanFromContext(ctx); !parent.IsRecording() && !parent.SpanContext().IsValid() {
		return ctx, nil
	}
	ctx, span := p.tracer.Start(ctx, spanName(req), sendOptions(ctx, req, call, sends)...)
	fields := p.propagator.Fields()
	for name := range header { // which need not be canonical
		if slices.ContainsFunc(fields, func(field string) bool { return strings.EqualFold(field, name) }) {
			delete(header, name)
		}
	}
	p.propagator.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, span
}

// asClient are the options of a span whose parent is not recorded. It will not be
// either, as far as anybody can tell.
var asClient = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}

func sendOptions(ctx context.Context, req *http.Request, call policy.Call, sends int) []trace.SpanStartOption {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return asClient
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
	attrs = appendPlace(attrs, call)
	return []trace.SpanStartOption{asClient[0], trace.WithAttributes(attrs...)}
}

// spanName returns the name of a request's span: its method.
func spanName(req *http.Request) string {
	if method, original := knownMethod(req.Method); original == "" {
		return method
	}
	return "HTTP"
}

// endSend ends the span of a request: its answer has arrived, or will not.
func endSend(span trace.Span, response *http.Response, errorType string) {
	defer span.End()
	if response != nil {
		span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	}
	if errorType != "" {
		span.SetAttributes(attribute.String("error.type", errorType))
		span.SetStatus(codes.Error, "")
	}
}

// sendErrorType returns the type of the error that a request has ended with, or ""
// if it has not failed.
func sendErrorType(ctx context.Context, response *http.Response, err error) string {
	switch {
	case err != nil:
		if err = blame(ctx, err); !left(ctx, err) {
			return policy.ErrorType(err)
		}
		return ""
	case response == nil:
		return "panic"
	case response.StatusCode >= 400:
		return strconv.Itoa(response.StatusCode)
	default:
		return ""
	}
}

// countSends has the call's span tell how many requests it has sent.
func (s *speaker) countSends(sends int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends = max(s.sends, sends)
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
	if port, err := strconv.Atoi(cmp.Or(u.Port(), defaultPorts[u.Scheme])); err == nil {
		return port
	}
	return 0
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// redacted returns u without what may be secret: user, password, query and
// fragment.
func redacted(u *url.URL) string {
	return cmp.Or(u.Scheme, "http") + "://" + u.Host + u.EscapedPath()
}
