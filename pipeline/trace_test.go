package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// compare reports a tree that is not as wanted, which is indented by tabs.
func compare(t *testing.T, got, want string) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(strings.TrimPrefix(want, "\n")) {
		lines = append(lines, strings.TrimPrefix(line, "\t\t"))
	}
	want = strings.TrimRight(strings.Join(lines, ""), "\t")
	if got != want {
		t.Errorf("trace is\n%s\nwant\n%s", got, want)
	}
}

// durations of spans in real time are not to be foreseen.
var durations = regexp.MustCompile(` [0-9.]+[nµm]?s\b`)

func TestTraceOfFunctions(t *testing.T) {
	permanent := policy.WithClass(errTest, policy.Permanent)
	wrapping := policy.New("wrapping", policyFunc(func(err error) error { return fmt.Errorf("with a word of context: %w", err) }))
	failing := policy.New("failing", policyFunc(func(error) error { return errors.New("own") }))
	tests := []struct {
		name     string
		policies []policy.Policy
		err      error
		want     string
	}{
		{"goes well", []policy.Policy{steady(2)}, nil, `
		users.get
		  retry
		`},
		{"fails for good", []policy.Policy{steady(2)}, permanent, `
		users.get ✗ type=_OTHER
		  retry: aborted
		`},
		{"wraps what it passes on", []policy.Policy{wrapping}, errTest, `
		users.get ✗ type=_OTHER
		  wrapping
		`},
		{"fails by itself", []policy.Policy{wrapping, failing}, errTest, `
		users.get ✗ type=_OTHER
		  wrapping
		    failing ✗ type=_OTHER
		`},
		{"is canceled", []policy.Policy{steady(2)}, context.Canceled, `
		users.get
		  retry: aborted
		`},
		{"error cannot be compared", []policy.Policy{wrapping, steady(1)}, uncomparable{"x"}, `
		users.get ✗ type=_OTHER
		  wrapping
		    retry: exhausted ✗ type=_OTHER
		`},
		{"has named policies", []policy.Policy{timeout.New(timeout.Config{Name: "total"})}, nil, `
		users.get
		  timeout name=total
		`},
		{"nests", []policy.Policy{steady(1), pipeline.Must(pipeline.New("inner", wrapping)), failing}, errTest, `
		users.get ✗ type=_OTHER
		  retry: exhausted ✗ type=_OTHER
		    failing ✗ type=_OTHER
		`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, spans := recorded(pipeline.Must(pipeline.New("users", tt.policies...)))
				_, err := pipeline.Run(t.Context(), p, "users.get", func(context.Context) (int, error) { return 0, tt.err })
				if (err == nil) != (tt.err == nil) {
					t.Errorf("Run() = %v, want %v", err, tt.err)
				}
				compare(t, outline(spans.Started(), only("error.type", "evenkeel.policy.name")), tt.want)
			})
		})
	}
}

type uncomparable []string

func (u uncomparable) Error() string { return u[0] }

func TestTraceOfNestedPipelines(t *testing.T) {
	inner, spans := recorded(pipeline.Must(pipeline.New("inner", steady(1))))
	outer := pipeline.Must(pipeline.New("outer", steady(1), inner, timeout.New(timeout.Config{})))
	outer = outer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	_, _ = pipeline.Run(t.Context(), outer, "users.get", func(context.Context) (int, error) { return 1, nil })
	got := durations.ReplaceAllString(outline(spans.Started(), only()), "")
	compare(t, got, `
		users.get
		  retry
		    inner
		      retry
		        timeout
		`)
}

// A nested pipeline only passes on: its span is not red, as others are already.
func TestTraceOfFailedNestedPipeline(t *testing.T) {
	inner, spans := recorded(pipeline.Must(pipeline.New("inner", timeout.New(timeout.Config{}))))
	outer := pipeline.Must(pipeline.New("outer", tries(2), inner))
	outer = outer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	_, _ = pipeline.Run(t.Context(), outer, "users.get", func(context.Context) (int, error) { return 0, errTest })
	got := durations.ReplaceAllString(outline(spans.Started(), only()), "")
	compare(t, got, `
		users.get ✗
		  retry: exhausted ✗
		    inner
		      timeout
		    backoff after _OTHER
		    inner
		      timeout
		`)
}

func TestTraceOfPanicAndGoexit(t *testing.T) {
	p, spans := recorded(pipeline.Must(pipeline.New("users", steady(1), timeout.New(timeout.Config{}))))
	func() {
		defer func() { _ = recover() }()
		_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { panic("test") })
	}()
	if ended := len(spans.Ended()); ended != 3 {
		t.Errorf("%d spans ended, want 3", ended)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
			runtime.Goexit()
			return nil
		})
	})
	wg.Wait()
	got := durations.ReplaceAllString(outline(spans.Started(), only("error.type")), "")
	compare(t, got, `
		#1 users ✗ type=panic
		  retry
		    timeout ✗ type=panic
		#2 users ✗ type=panic
		  retry
		    timeout ✗ type=panic
		`)
}

func TestTraceOfAPanicBelowANestedPipeline(t *testing.T) {
	inner, spans := recorded(pipeline.Must(pipeline.New("inner", policy.New("a", passOn))))
	outer := pipeline.Must(pipeline.New("outer", policy.New("b", passOn), inner, policy.New("c", passOn)))
	outer = outer.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	func() {
		defer func() { _ = recover() }()
		_ = outer.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { panic("test") })
	}()
	compare(t, durations.ReplaceAllString(outline(spans.Started(), only()), ""), `
		outer ✗
		  b
		    inner
		      a
		        c ✗
		`)
}

// Whatever context a policy tells of its decision with, unless it is that of a
// step.
func TestTraceOfWhatIsSaidWithAnotherContext(t *testing.T) {
	tracer := sdktrace.NewTracerProvider().Tracer("own")
	own := policy.New("bulkhead", func(ctx context.Context, call policy.Call, _ policy.Handler) error {
		ctx, span := tracer.Start(ctx, "own")
		defer span.End()
		call.Emit(ctx, "bulkhead.rejected", slog.Int("slots", 3))
		return policy.ErrRejected
	})
	p, spans := recorded(pipeline.Must(pipeline.New("users", own)))
	_ = p.Do(t.Context(), policy.Call{}, succeed)
	compare(t, durations.ReplaceAllString(outline(spans.Started(), only("evenkeel.bulkhead.slots")), ""), `
		users ✗
		  bulkhead: rejected ✗ slots=3
		`)
}

// A policy that calls on several times may return any of the errors.
func TestTraceOfAnEarlierError(t *testing.T) {
	twice := policy.New("twice", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		first := next(ctx, call)
		_ = next(ctx, call)
		return first
	})
	p, spans := recorded(pipeline.Must(pipeline.New("users", twice)))
	_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errors.New("new each time") })
	compare(t, durations.ReplaceAllString(outline(spans.Started(), only()), ""), `
		users ✗
		  twice
		`)
}

func TestTraceOfWhatAPolicySays(t *testing.T) {
	talkative := policy.New("cache", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		call.Emit(ctx, "cache.missed", slog.Int("size", 3), slog.Duration("age", 1500*time.Millisecond), slog.Any("cause", io.EOF), slog.Any("secret", []string{"canary"}))
		stepCtx, end := call.Step(ctx, "fill", slog.Bool("whole", true))
		_, endInner := call.Step(stepCtx, "read")
		endInner(io.EOF)
		end(nil)
		err := next(ctx, call)
		call.Emit(ctx, "cache.filled_up")
		return err
	})
	p, spans := recorded(pipeline.Must(pipeline.New("users", talkative)))
	_ = p.Do(t.Context(), policy.Call{}, func(ctx context.Context, call policy.Call) error {
		call.Emit(ctx, "db.queried", slog.Int("rows", 2)) // belongs to the call, and does not rename it
		return nil
	})
	got := durations.ReplaceAllString(outline(spans.Started(), only("error.type", "evenkeel.cache.size", "evenkeel.cache.age", "evenkeel.cache.cause", "evenkeel.cache.secret", "evenkeel.cache.whole", "evenkeel.db.rows")), "")
	compare(t, got, `
		users rows=2
		  cache: filled up size=3 age=1.5 cause=eof
		    fill whole=true
		      read ✗ type=eof
		`)
}

func TestStepHasALinkOnce(t *testing.T) {
	p, spans := recorded(pipeline.Must(pipeline.New("test", policy.New("test", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_, end := call.Step(ctx, "step", call.Link(ctx))
		end(nil)
		return next(ctx, call)
	}))))
	if err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if step := spans.Ended()[0]; step.Name() != "step" || len(step.Links()) != 1 {
		t.Errorf("span %q has %d links, want step with 1", step.Name(), len(step.Links()))
	}
}

func TestTraceTellsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", steady(1), token("Authorization", "canary"))))
		(&stage{T: t, p: p}).get(failed(errors.New("canary")))
		for _, span := range spans.Ended() {
			if text := fmt.Sprint(span.Name(), span.Attributes(), span.Status(), span.Events()); strings.Contains(text, "canary") {
				t.Errorf("span shows %s", text)
			}
		}
		client := spans.Ended()[0]
		want := `GET client [{http.request.method GET} {server.address api.example.com} {server.port 443} {url.full https://api.example.com/orders/7} {evenkeel.attempt 1} {error.type _OTHER}]`
		var attrs []string
		for _, kv := range client.Attributes() {
			attrs = append(attrs, fmt.Sprintf("{%s %s}", kv.Key, kv.Value.String()))
		}
		if got := fmt.Sprint(client.Name(), " ", client.SpanKind(), " ", attrs); got != want {
			t.Errorf("span is %s, want %s", got, want)
		}
	})
}

func TestTraceContextIsSent(t *testing.T) {
	var got []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header["Traceparent"]...)
		w.WriteHeader(503)
	})
	p, spans := recorded(pipeline.Must(pipeline.New("orders", tries(2))))
	client := *s.Client()
	client.Transport = p.Transport(client.Transport)
	req := request(t, "GET", s.URL, nil)
	req.Header["traceparent"] = []string{"of the caller"} // not canonical
	answer(t, &client, req)
	var want []string
	for _, span := range spans.Ended() {
		if span.SpanKind() == trace.SpanKindClient {
			want = append(want, fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), span.SpanContext().SpanID()))
		}
	}
	if len(want) != 2 || !slices.Equal(got, want) {
		t.Errorf("server got trace contexts %q, want %q", got, want)
	}
}

// A trace that came in from elsewhere is passed on, even if nothing is recorded.
func TestUnrecordedTraceContextIsSent(t *testing.T) {
	var got string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") })
	spans := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sdktrace.NeverSample()))
	client := *s.Client()
	client.Transport = pipeline.Must(pipeline.New("orders", tries(2))).WithTracerProvider(tp).WithPropagator(propagation.TraceContext{}).Transport(client.Transport)
	remote := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, Remote: true})
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote)
	answer(t, &client, request(t, "GET", s.URL, nil).WithContext(ctx))
	if !strings.HasPrefix(got, "00-"+remote.TraceID().String()) || !strings.HasSuffix(got, "-00") {
		t.Errorf("server got trace context %q, want one of trace %v, not sampled", got, remote.TraceID())
	}
}

func TestTracingIsOff(t *testing.T) {
	var got string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") })
	for _, tp := range []trace.TracerProvider{nil, noop.NewTracerProvider()} {
		client := *s.Client()
		client.Transport = pipeline.Must(pipeline.New("orders", tries(2))).WithTracerProvider(tp).Transport(client.Transport)
		if code, _ := answer(t, &client, request(t, "GET", s.URL, nil)); code != 200 || got != "" {
			t.Errorf("got %d, trace context %q, want 200 and none", code, got)
		}
	}
}

func TestTraceTellsHedgesApart(t *testing.T) {
	twice := policy.New("twice", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		first := next(ctx, call)
		call.Hedge = 1
		return errors.Join(first, next(ctx, call))
	})
	p, spans := recorded(pipeline.Must(pipeline.New("test", twice, timeout.New(timeout.Config{}))))
	_ = p.Do(t.Context(), policy.Call{}, succeed)
	compare(t, durations.ReplaceAllString(outline(spans.Started(), only("evenkeel.hedge.number")), ""), `
		test
		  twice
		    timeout
		    timeout number=1
		`)
}
