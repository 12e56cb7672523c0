package benchmarks_test

import (
	"context"
	"net/http"

	"github.com/cenkalti/backoff/v4"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/oauth2"
)

// A tracedByHand is a client with a retry, a circuit breaker, a token and a timeout, each with a span
// of its own, as one writes that who has read the first page about OpenTelemetry.
type tracedByHand struct {
	base    http.RoundTripper
	tracer  trace.Tracer
	circuit *gobreaker.CircuitBreaker[*http.Response]
	source  oauth2.TokenSource
}

//nolint:bodyclose // A circuit is no response.
func newTracedByHand(tp trace.TracerProvider, base http.RoundTripper, source oauth2.TokenSource) http.RoundTripper {
	return &tracedByHand{
		base:   base,
		tracer: tp.Tracer("users"),
		circuit: gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
			Timeout:     openFor,
			ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= failures },
		}),
		source: oauth2.ReuseTokenSource(nil, source),
	}
}

func (t *tracedByHand) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, span := t.tracer.Start(req.Context(), "HTTP "+req.Method)
	defer span.End()
	span.SetAttributes(attribute.String("evenkeel.pipeline.name", "users"))
	sends := 0
	response, err := t.retry(ctx, req, &sends)
	span.SetAttributes(attribute.Int("evenkeel.pipeline.sends", sends))
	return response, told(span, err)
}

// told has a span tell of an error, if there is one.
func told(span trace.Span, err error) error {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

func (t *tracedByHand) retry(ctx context.Context, req *http.Request, sends *int) (*http.Response, error) {
	ctx, span := t.tracer.Start(ctx, "retry")
	defer span.End()
	span.SetAttributes(attribute.String("evenkeel.policy.type", "retry"))
	response, err := backoff.RetryWithData(func() (*http.Response, error) {
		*sends++
		return t.breaker(ctx, req, *sends)
	}, intervals(ctx, interval))
	if err == nil {
		span.SetAttributes(attribute.String("evenkeel.retry.outcome", "success"))
	}
	return response, told(span, err)
}

func (t *tracedByHand) breaker(ctx context.Context, req *http.Request, attempt int) (*http.Response, error) {
	ctx, span := t.tracer.Start(ctx, "breaker")
	defer span.End()
	span.SetAttributes(
		attribute.String("evenkeel.policy.type", "breaker"),
		attribute.Int("evenkeel.attempt", attempt),
		attribute.String("evenkeel.circuit_breaker.state", t.circuit.State().String()),
	)
	response, err := t.circuit.Execute(func() (*http.Response, error) { return t.auth(ctx, req, attempt) })
	if err == nil {
		span.SetAttributes(attribute.String("evenkeel.circuit_breaker.outcome", "success"))
	}
	return response, told(span, err)
}

func (t *tracedByHand) auth(ctx context.Context, req *http.Request, attempt int) (*http.Response, error) {
	ctx, span := t.tracer.Start(ctx, "auth")
	defer span.End()
	span.SetAttributes(
		attribute.String("evenkeel.policy.type", "auth"),
		attribute.Int("evenkeel.attempt", attempt),
	)
	token, err := t.source.Token()
	if err != nil {
		return nil, told(span, err)
	}
	span.SetAttributes(attribute.String("evenkeel.auth.token.source", "cache"))
	req = req.Clone(ctx)
	token.SetAuthHeader(req)
	response, err := t.timeout(ctx, req, attempt)
	return response, told(span, err)
}

func (t *tracedByHand) timeout(ctx context.Context, req *http.Request, attempt int) (*http.Response, error) {
	ctx, span := t.tracer.Start(ctx, "timeout")
	defer span.End()
	span.SetAttributes(
		attribute.String("evenkeel.policy.type", "timeout"),
		attribute.Int("evenkeel.attempt", attempt),
		attribute.Float64("evenkeel.timeout.limit", limit.Seconds()),
	)
	ctx, cancel := context.WithTimeout(ctx, limit)
	response, err := t.send(ctx, req, attempt)
	if err != nil {
		cancel()
		return nil, told(span, err)
	}
	response.Body = &cancelingBody{response.Body, cancel}
	span.SetAttributes(attribute.String("evenkeel.timeout.outcome", "completed"))
	return response, nil
}

func (t *tracedByHand) send(ctx context.Context, req *http.Request, attempt int) (*http.Response, error) {
	ctx, span := t.tracer.Start(ctx, req.Method, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	span.SetAttributes(
		attribute.String("http.request.method", req.Method),
		attribute.String("server.address", req.URL.Hostname()),
		attribute.Int("server.port", 443),
		attribute.String("url.full", req.URL.String()),
		attribute.Int("evenkeel.attempt", attempt),
	)
	otel.GetTextMapPropagator().Inject(ctx, propagation.HeaderCarrier(req.Header))
	response, err := t.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, told(span, err)
	}
	span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	if response.StatusCode >= 500 {
		discard(response)
		return nil, told(span, errStatus)
	}
	return response, nil
}
