// Quickstart sends requests to an API that fails in all the usual ways, and shows
// for each of them how it got through: its trace, printed as a waterfall.
//
// Everything is real and runs in this process, on free ports of loopback: an
// OpenID provider whose tokens live for a few seconds, an API that verifies
// them, and a client whose requests pass through a pipeline. With
// OTEL_EXPORTER_OTLP_ENDPOINT set, the traces go to that address as well, such as
// http://localhost:4318 for Jaeger.
//
//	go run ./examples/quickstart
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func main() {
	requests := flag.Int("requests", len(scenes), "how many requests to send; those after the last scene just succeed")
	quiet := flag.Bool("quiet", false, "print no waterfalls")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "quickstart: unknown argument %q: want flags only\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *requests, *quiet); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run plays the scenes, and returns an error if a request ended otherwise than
// it should.
func run(ctx context.Context, w io.Writer, requests int, quiet bool) error {
	if requests < 1 {
		return fmt.Errorf("invalid -requests %d: want at least 1", requests)
	}
	provider, err := idp.Start(idp.Config{AccessTokenLifetime: tokenLifetime})
	if err != nil {
		return err
	}
	defer provider.Close()
	server, err := api.Start(api.Config{Verify: provider.Verify})
	if err != nil {
		return err
	}
	defer server.Close()
	login, err := provider.Grant(ctx)
	if err != nil {
		return err
	}

	tracing, err := newTracing(ctx)
	if err != nil {
		return err
	}

	var counts counter
	p, err := newPipeline(provider, login.RefreshToken, tracing.provider)
	if err != nil {
		return err
	}
	p = p.WithTracerProvider(tracing.provider).WithObserver(counts.observe)
	client := &http.Client{Transport: p.Transport(nil)}
	defer client.CloseIdleConnections()
	fmt.Fprintf(w, "Every request passes through %v\n\n", p)

	stage := &stage{provider, server}
	for i := range requests {
		scene := sceneOf(i)
		fmt.Fprintf(w, "%2d. %s: ", i+1, scene.title)
		scene.prepare(ctx, stage)
		response := get(ctx, client, fmt.Sprintf("%s/orders/%d", server.URL, i+1))
		if ctx.Err() != nil {
			fmt.Fprintln(w)
			return errors.New("interrupted")
		}
		counts.add(response, scene)
		fmt.Fprintln(w, response)
		if printed := tracing.printed.take(); !quiet {
			fmt.Fprint(w, printed)
		}
	}
	if quiet {
		fmt.Fprintln(w)
	}
	err = counts.report(w, server.Requests(), provider.TokenRequests())
	return errors.Join(err, tracing.close(w))
}

// newPipeline returns the pipeline that all requests pass through.
func newPipeline(provider *idp.Server, refreshToken string, tp trace.TracerProvider) (*pipeline.Pipeline, error) {
	source := auth.RefreshToken{
		TokenURL:     provider.TokenURL,
		ClientID:     provider.ClientID,
		ClientSecret: provider.ClientSecret,
		RefreshToken: refreshToken,
		HTTPClient: &http.Client{Transport: otelhttp.NewTransport(nil,
			otelhttp.WithTracerProvider(tp),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))},
	}
	return pipeline.New("orders",
		timeout.New(timeout.Config{Name: "total", Limit: 5 * time.Second}),
		retry.New(retry.Config{MaxAttempts: 4, Jitter: retry.EqualJitter}),
		breaker.New(breaker.Config{ConsecutiveFailures: 3, OpenFor: openFor, Probes: 1}),
		auth.New(auth.Config{Source: source}),
		timeout.New(timeout.Config{Name: "attempt", Limit: 500 * time.Millisecond}),
	)
}
