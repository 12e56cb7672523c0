package waterfall_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

func TestLog(t *testing.T) {
	log := &testLog{TB: t}
	spans := tracetest.NewSpanRecorder()
	tracer := waterfall.Log(log, sdktrace.WithSpanProcessor(spans)).Tracer("test")

	ctx, root := tracer.Start(t.Context(), "root")
	_, done := tracer.Start(ctx, "done")
	done.End()
	root.End()
	if got, want := names(log.String()), "root done"; got != want {
		t.Errorf("logged spans %q, want %q", got, want)
	}
	if got := len(spans.Ended()); got != 2 {
		t.Errorf("the recorder that was given has %d spans, want 2", got)
	}

	log.Reset()
	_, hung := tracer.Start(t.Context(), "hung")
	log.end()
	hung.End() // panics if it is logged
	if got, want := log.String(), "hung  unfinished"; !strings.HasPrefix(got, want) {
		t.Errorf("logged %q at the end of the test, want %q", got, want)
	}
}

// A log belongs to the bubble of its test.
func TestLogInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, span := waterfall.Log(t).Tracer("test").Start(t.Context(), "in a bubble")
		span.End()
	})
}

// A testLog is a test whose log can be read.
type testLog struct {
	testing.TB
	strings.Builder

	cleanup func()
	ended   bool
}

func (l *testLog) Output() io.Writer        { return l }
func (l *testLog) Cleanup(f func())         { l.cleanup = f }
func (l *testLog) Context() context.Context { return l.TB.Context() }

func (l *testLog) Write(p []byte) (int, error) {
	if l.ended {
		panic("written to after the end of the test")
	}
	return l.Builder.Write(p)
}

func (l *testLog) end() {
	l.cleanup()
	l.ended = true
}
