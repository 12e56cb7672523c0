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

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// recorded returns p with a recorder of its spans.
func recorded(p *pipeline.Pipeline) (*pipeline.Pipeline, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return p.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))).WithPropagator(propagation.TraceContext{}), spans
}

// outline returns the tree of spans as text: a line for each, with ✗ if it
// failed, its duration, and the attributes of the given keys.
func outline(spans []sdktrace.ReadWriteSpan, keys ...attribute.Key) string {
	known := make(map[trace.SpanID]bool)
	for _, span := range spans {
		known[span.SpanContext().SpanID()] = true
	}
	var text strings.Builder
	var write func(parent trace.SpanID, indent string)
	write = func(parent trace.SpanID, indent string) {
		for _, span := range spans {
			if id := span.Parent().SpanID(); id != parent && (known[id] || parent.IsValid()) {
				continue
			}
			text.WriteString(indent + span.Name())
			if span.Status().Code == codes.Error {
				text.WriteString(" ✗")
			}
			if took := span.EndTime().Sub(span.StartTime()); took > 0 {
				text.WriteString(" " + took.String())
			}
			for _, key := range keys {
				for _, kv := range span.Attributes() {
					if kv.Key == key {
						fmt.Fprintf(&text, " %s=%s", key[strings.LastIndex(string(key), ".")+1:], kv.Value.String())
					}
				}
			}
			text.WriteString("\n")
			write(span.SpanContext().SpanID(), indent+"  ")
		}
	}
	write(trace.SpanID{}, "")
	return text.String()
}

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

// answers returns a base transport that answers each request with the next
// status, after a while; 0 stands for a reset connection, and -1 for none.
func answers(codes ...int) http.RoundTripper {
	calls := 0
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		code := codes[calls]
		calls++
		if code < 0 {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		time.Sleep(30 * time.Millisecond)
		if code == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		header := make(http.Header)
		if code == 503 {
			header.Set("Retry-After", "1")
		}
		return &http.Response{StatusCode: code, Header: header, Body: http.NoBody}, nil
	})
}

// steady retries after delays that are not drawn.
func steady(attempts int) *retry.Policy {
	return retry.New(retry.Config{MaxAttempts: attempts, Jitter: retry.NoJitter})
}

func get(t *testing.T, p *pipeline.Pipeline, base http.RoundTripper, method string) {
	t.Helper()
	req := request(t, method, "https://user:canary@api.example.com/orders/7?key=canary", nil)
	req = req.WithContext(pipeline.WithCallName(req.Context(), "GetOrder"))
	response, err := p.Transport(base).RoundTrip(req)
	if err == nil {
		_ = response.Body.Close()
	}
}

func TestTraceOfRequests(t *testing.T) {
	tests := []struct {
		name   string
		method string
		base   http.RoundTripper
		want   string
	}{
		{"goes well", "GET", answers(200), `
		GetOrder 30ms
		  retry 30ms
		    timeout 30ms attempt=1
		      GET 30ms status_code=200 attempt=1
		`},
		{"recovers", "GET", answers(500, 503, -1, 200), `
		GetOrder 3.36s
		  retry: recovered 3.36s
		    timeout 30ms attempt=1
		      GET ✗ 30ms type=500 status_code=500 attempt=1
		    backoff after 500 100ms
		    timeout 30ms attempt=2
		      GET ✗ 30ms type=503 status_code=503 resend_count=1 attempt=2
		    backoff after 503 2s
		    timeout: exceeded ✗ 770ms type=timeout attempt=3
		      GET ✗ 770ms type=timeout resend_count=2 attempt=3
		    backoff after timeout 400ms
		    timeout 30ms attempt=4
		      GET 30ms status_code=200 resend_count=3 attempt=4
		`},
		{"is exhausted", "GET", answers(0, 0, 0, 0), `
		GetOrder ✗ 820ms type=eof
		  retry: exhausted ✗ 820ms type=eof
		    timeout 30ms attempt=1
		      GET ✗ 30ms type=eof attempt=1
		    backoff after eof 100ms
		    timeout 30ms attempt=2
		      GET ✗ 30ms type=eof resend_count=1 attempt=2
		    backoff after eof 200ms
		    timeout 30ms attempt=3
		      GET ✗ 30ms type=eof resend_count=2 attempt=3
		    backoff after eof 400ms
		    timeout 30ms attempt=4
		      GET ✗ 30ms type=eof resend_count=3 attempt=4
		`},
		{"must not be repeated", "POST", answers(500), `
		GetOrder ✗ 30ms type=500
		  retry: aborted 30ms
		    timeout 30ms attempt=1
		      POST ✗ 30ms type=500 status_code=500 attempt=1
		`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, spans := recorded(pipeline.Must(pipeline.New("orders", steady(4), timeout.New(timeout.Config{Limit: 770 * time.Millisecond}))))
				get(t, p, tt.base, tt.method)
				compare(t, outline(spans.Started(), "error.type", "http.response.status_code", "http.request.resend_count", "evenkeel.attempt"), tt.want)
			})
		})
	}
}

func TestTraceOfACircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", breaker.New(breaker.Config{ConsecutiveFailures: 2, Probes: 1, OpenFor: time.Second}))))
		base := answers(500, 0, 500, 200, 200)
		for range 3 {
			get(t, p, base, "GET") // of which the third is rejected
		}
		for range 3 {
			time.Sleep(5 * time.Second)
			get(t, p, base, "GET")
		}
		compare(t, outline(spans.Started(), "error.type"), `
		GetOrder ✗ 30ms type=500
		  breaker 30ms
		    GET ✗ 30ms type=500
		GetOrder ✗ 30ms type=eof
		  breaker: opened 30ms
		    GET ✗ 30ms type=eof
		GetOrder ✗ type=circuit_open
		  breaker: rejected ✗ type=circuit_open
		GetOrder ✗ 30ms type=500
		  breaker: probe failed 30ms
		    GET ✗ 30ms type=500
		GetOrder 30ms
		  breaker: probe succeeded 30ms
		    GET 30ms
		GetOrder 30ms
		  breaker 30ms
		    GET 30ms
		`)
	})
}

func TestTraceOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", steady(2), auth.New(auth.Config{Source: new(tokens)}))))
		base := answers(401, 200, 503, 200, 401, 401)
		for range 3 {
			get(t, p, base, "GET")
		}
		compare(t, outline(spans.Started(), "error.type", "http.request.resend_count"), `
		GetOrder 60ms
		  retry 60ms
		    auth 60ms
		      token refresh: missing
		      GET ✗ 30ms type=401
		      token refresh: after 401
		      GET 30ms resend_count=1
		GetOrder 1.06s
		  retry: recovered 1.06s
		    auth 30ms
		      GET ✗ 30ms type=503
		    backoff after 503 1s
		    auth 30ms
		      GET 30ms resend_count=1
		GetOrder ✗ 60ms type=401
		  retry: aborted 60ms
		    auth 60ms
		      GET ✗ 30ms type=401
		      token refresh: after 401
		      GET ✗ 30ms type=401 resend_count=1
		`)
	})
}

func TestTraceOfALostGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", steady(2), auth.New(auth.Config{Source: lost{}}))))
		get(t, p, answers(), "GET")
		compare(t, outline(spans.Started(), "error.type", "evenkeel.auth.outcome"), `
		GetOrder ✗ type=auth
		  retry: aborted
		    auth: failed ✗ type=auth outcome=reauth_required
		      token refresh: missing ✗ type=auth outcome=reauth_required
		`)
	})
}

// lost is a source whose grant is lost.
type lost struct{}

func (lost) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	return nil, auth.ErrReauthRequired
}

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
				compare(t, outline(spans.Started(), "error.type", "evenkeel.policy.name"), tt.want)
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
	got := durations.ReplaceAllString(outline(spans.Started()), "")
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
	got := durations.ReplaceAllString(outline(spans.Started()), "")
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

func TestTraceShowsOnlyTheLastDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("users", steady(2))))
		_, _ = pipeline.Run(t.Context(), p, "users.get", func(context.Context) (int, error) { return 0, errTest })
		compare(t, outline(spans.Started(), "evenkeel.retry.attempts", "evenkeel.retry.reason", "evenkeel.retry.next_attempt", "evenkeel.retry.delay"), `
		users.get ✗ 100ms
		  retry: exhausted ✗ 100ms attempts=2 reason=attempts
		    backoff after _OTHER 100ms reason=_OTHER next_attempt=2 delay=0.1
		`)
	})
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
	got := durations.ReplaceAllString(outline(spans.Started(), "error.type"), "")
	compare(t, got, `
		users ✗ type=panic
		  retry
		    timeout ✗ type=panic
		users ✗ type=panic
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
	compare(t, durations.ReplaceAllString(outline(spans.Started()), ""), `
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
	compare(t, durations.ReplaceAllString(outline(spans.Started(), "evenkeel.bulkhead.slots"), ""), `
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
	compare(t, durations.ReplaceAllString(outline(spans.Started()), ""), `
		users ✗
		  twice
		`)
}

// Where the context that a policy was given has ended, the failure was made
// further out.
func TestTraceOfATimeoutAroundARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("users", timeout.New(timeout.Config{Limit: time.Second}), steady(2))))
		_ = p.Do(t.Context(), policy.Call{}, func(ctx context.Context, _ policy.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		compare(t, outline(spans.Started(), "error.type"), `
		users ✗ 1s type=timeout
		  timeout: exceeded ✗ 1s type=timeout
		    retry: aborted 1s
		`)
	})
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
	got := durations.ReplaceAllString(outline(spans.Started(), "error.type", "evenkeel.cache.size", "evenkeel.cache.age", "evenkeel.cache.cause", "evenkeel.cache.secret", "evenkeel.cache.whole", "evenkeel.db.rows"), "")
	compare(t, got, `
		users rows=2
		  cache: filled up size=3 age=1.5 cause=eof
		    fill whole=true
		      read ✗ type=eof
		`)
}

func TestTraceTellsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", steady(1), token("Authorization", "canary"))))
		get(t, p, roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("canary") }), "GET")
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
