package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A frontend is a service that passes on what the orders API has, which it asks through
// a pipeline.
type frontend struct {
	url    string
	orders string       // the API's URL
	client *http.Client // with the pipeline

	tokens  *auth.Policy
	http    http.Server
	running sync.WaitGroup
}

func (s *shop) startFrontend(ctx context.Context, w io.Writer, tp trace.TracerProvider) (*frontend, error) {
	login, err := s.login.Grant(ctx)
	if err != nil {
		return nil, err
	}
	f := &frontend{orders: s.orders.URL, tokens: newTokens(s, login.RefreshToken, tp)}
	p, err := newPipeline(f.tokens)
	if err != nil {
		return nil, err
	}
	p = p.WithTracerProvider(tp).WithPropagator(traceContext).
		WithObserver(pipeline.SlogObserver(slog.New(slog.NewTextHandler(w, nil))))
	f.client = &http.Client{Transport: p.Transport(nil)}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.url = "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", f.order)
	f.http.Handler = traced(mux, tp)
	f.running.Go(func() { _ = f.http.Serve(listener) })
	return f, nil
}

func newTokens(s *shop, refreshToken string, tp trace.TracerProvider) *auth.Policy {
	return auth.New(auth.Config{Source: auth.RefreshToken{
		TokenURL:     s.login.TokenURL,
		ClientID:     s.login.ClientID,
		ClientSecret: s.login.ClientSecret,
		RefreshToken: refreshToken,
		HTTPClient: &http.Client{Transport: otelhttp.NewTransport(nil,
			otelhttp.WithTracerProvider(tp),
			otelhttp.WithPropagators(traceContext),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))},
	}})
}

func newPipeline(tokens *auth.Policy) (*pipeline.Pipeline, error) {
	return pipeline.New("orders",
		timeout.New(timeout.Config{Name: "total", Limit: 2 * time.Second}),
		retry.New(retry.Config{MaxAttempts: 3}),
		breaker.New(breaker.Config{ConsecutiveFailures: 5, OpenFor: openFor, Probes: 1}),
		tokens,
		timeout.New(timeout.Config{Name: "attempt", Limit: 300 * time.Millisecond}),
	)
}

// order passes on an order.
func (f *frontend) order(w http.ResponseWriter, r *http.Request) {
	ctx := pipeline.WithCallName(r.Context(), "GetOrder")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.orders+"/orders/"+r.PathValue("id"), nil)
	if err != nil {
		http.Error(w, "no such order", http.StatusNotFound)
		return
	}
	response, err := f.client.Do(req)
	if err != nil {
		http.Error(w, "the orders API does not answer", http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(w, response.Body) // If it breaks off, the other side sees that.
}

// close stops the frontend once nothing is under way.
func (f *frontend) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = f.http.Shutdown(ctx) // or ends with the program
	f.running.Wait()
	_ = f.tokens.Close(ctx)
	f.client.CloseIdleConnections()
}
