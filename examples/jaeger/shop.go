package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
)

const (
	tokenLifetime = 3 * time.Second
	tokenLatency  = 30 * time.Millisecond
	openFor       = 1500 * time.Millisecond
)

// traceContext is how services tell each other which trace a request belongs to.
var traceContext = propagation.TraceContext{}

// A shop is the three services, each of which has its spans sent under its own name.
type shop struct {
	login    *idp.Server
	orders   *api.Server
	frontend *frontend
}

// startShop starts the services. What their policies decide that concerns other calls
// too, they log to w.
func startShop(ctx context.Context, w io.Writer, t *tracing) (_ *shop, err error) {
	s := new(shop)
	defer func() {
		if err != nil {
			s.close()
		}
	}()

	login, err := t.provider(ctx, "login")
	if err != nil {
		return nil, err
	}
	s.login, err = idp.Start(idp.Config{
		AccessTokenLifetime: tokenLifetime,
		Wrap:                func(h http.Handler) http.Handler { return traced(far(h), login) },
	})
	if err != nil {
		return nil, err
	}

	orders, err := t.provider(ctx, "orders")
	if err != nil {
		return nil, err
	}
	s.orders, err = api.Start(api.Config{
		Verify: s.login.Verify,
		Wrap:   func(h http.Handler) http.Handler { return traced(h, orders) },
	})
	if err != nil {
		return nil, err
	}

	provider, err := t.provider(ctx, "frontend", t.found)
	if err != nil {
		return nil, err
	}
	s.frontend, err = s.startFrontend(ctx, w, provider)
	return s, err
}

// close stops those services that have started.
func (s *shop) close() {
	if s.frontend != nil {
		s.frontend.close()
	}
	if s.orders != nil {
		s.orders.Close()
	}
	if s.login != nil {
		s.login.Close()
	}
}

// traced returns a handler that makes a span for each request to h.
func traced(h http.Handler, tp trace.TracerProvider) http.Handler {
	return otelhttp.NewHandler(h, "",
		otelhttp.WithTracerProvider(tp),
		otelhttp.WithPropagators(traceContext),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return cmp.Or(r.Pattern, r.Method) }))
}

// far returns a handler that answers token requests as one that is far away.
func far(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/token" {
			api.Stall(tokenLatency)(w, r, h)
		} else {
			h.ServeHTTP(w, r)
		}
	})
}
