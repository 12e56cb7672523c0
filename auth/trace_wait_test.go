package auth_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// Whoever comes when a token was set, and refused, during a token request waits
// for that, and its trace says so as any other's.
func TestAuth44WaitAfterATokenWasSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := auth.NewKeyed(auth.KeyedConfig{
			Key: func(context.Context, policy.Call) (string, error) { return "acme", nil },
			New: func(context.Context, string) (auth.Config, error) {
				return auth.Config{Source: (&server{delay: time.Second}).refreshToken()}, nil
			},
			ShowDigest: true,
		})
		spans := tracetest.NewSpanRecorder()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
		p := pipeline.Must(pipeline.New("orders", k)).WithTracerProvider(tracer)
		go func() { _ = p.Do(t.Context(), testCall, succeed) }()
		synctest.Wait()
		set := &oauth2.Token{AccessToken: "SET"}
		if err := k.For("acme").SetToken(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		k.Invalidate(set)
		_ = p.Do(t.Context(), testCall, succeed)

		refresh, wait := ended(t, spans, "token refresh: missing"), ended(t, spans, "token wait")
		if got := said(refresh, "evenkeel.auth.waiters"); got != "1" {
			t.Errorf("refresh has %q waiters, want 1", got)
		}
		if got, want := said(wait, "evenkeel.auth.key.digest"), said(refresh, "evenkeel.auth.key.digest"); got != want {
			t.Errorf("wait is for the key with digest %q, want that of the refresh, %q", got, want)
		}
		if links := wait.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != refresh.SpanContext().SpanID() {
			t.Errorf("wait has links %v, want one to the refresh", links)
		}
	})
}

// ended returns the span with a given name that has ended.
func ended(t *testing.T, spans *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, span := range spans.Ended() {
		if span.Name() == name {
			return span
		}
	}
	t.Fatalf("no span %q has ended, want one", name)
	return nil
}

// said returns the text of a span's attribute, or "".
func said(span sdktrace.ReadOnlySpan, key string) string {
	for _, a := range span.Attributes() {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}
