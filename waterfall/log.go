package waterfall

import (
	"context"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Log returns a tracer provider whose traces are written to the log of t, each as
// soon as it ends, and at the end of the test what has not ended. The go command
// shows them when the test fails, and always with its flag -v. Options are for the
// provider, such as a recorder of its spans.
func Log(t testing.TB, options ...sdktrace.TracerProviderOption) *sdktrace.TracerProvider {
	printer := sdktrace.WithSpanProcessor(New(t.Output(), Config{}))
	provider := sdktrace.NewTracerProvider(append(options, printer)...)
	t.Cleanup(func() {
		if err := provider.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("waterfall: %v", err)
		}
	})
	return provider
}
