package pipeline_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/log"
	lognoop "go.opentelemetry.io/otel/log/noop"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A baggageKeeper is a propagator that must not be nil.
type baggageKeeper struct{ header string }

func (b *baggageKeeper) Inject(_ context.Context, carrier propagation.TextMapCarrier) {
	carrier.Set(b.header, "set")
}

func (b *baggageKeeper) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context {
	return ctx
}
func (b *baggageKeeper) Fields() []string { return []string{b.header} }

// Whatever is not there is off, and calls go through.
func TestOptionsThatAreNil(t *testing.T) {
	options := map[string]func(*pipeline.Pipeline) *pipeline.Pipeline{}
	for name, tp := range map[string]trace.TracerProvider{"nil": nil, "typed nil": (*sdktrace.TracerProvider)(nil), "no-op": tracenoop.NewTracerProvider()} {
		options["tracer provider "+name] = func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithTracerProvider(tp) }
	}
	for name, mp := range map[string]metric.MeterProvider{"nil": nil, "typed nil": (*sdkmetric.MeterProvider)(nil), "no-op": metricnoop.NewMeterProvider()} {
		options["meter provider "+name] = func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithMeterProvider(mp) }
	}
	for name, lp := range map[string]log.LoggerProvider{"nil": nil, "typed nil": (*sdklog.LoggerProvider)(nil), "no-op": lognoop.NewLoggerProvider()} {
		options["logger provider "+name] = func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithLoggerProvider(lp) }
	}
	for name, pr := range map[string]propagation.TextMapPropagator{"nil": nil, "typed nil": (*baggageKeeper)(nil), "none": propagation.NewCompositeTextMapPropagator()} {
		options["propagator "+name] = func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithPropagator(pr) }
	}
	options["observer nil"] = func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithObserver(nil) }
	for name, option := range options {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{T: t}
				s.set(steady(3), brittle())
				s.p = option(s.p)
				var sent http.Header
				s.get(replied(500), func(req *http.Request) (*http.Response, error) { sent = req.Header; return ok(req) })
				if sent == nil {
					t.Fatal("the call was not sent twice")
				}
				if strings.HasPrefix(name, "propagator") && sent.Get("Traceparent") != "" {
					t.Errorf("a trace context was sent: %v", sent)
				}
			})
		})
	}
}

func TestWithPropagator(t *testing.T) {
	p, spans := recorded(pipeline.Must(pipeline.New("orders", tries(1))))
	var sent http.Header
	s := &stage{T: t, p: p.WithPropagator(&baggageKeeper{"X-Kept"})}
	s.get(func(req *http.Request) (*http.Response, error) { sent = req.Header; return ok(req) })
	if sent.Get("X-Kept") != "set" || sent.Get("Traceparent") != "" || len(spans.Ended()) != 3 {
		t.Errorf("sent header %v in %d spans, want what the propagator wrote in 3", sent, len(spans.Ended()))
	}
}

func TestWithSpans(t *testing.T) {
	tests := map[string]struct {
		option func(*pipeline.Pipeline) *pipeline.Pipeline
		want   string
	}{
		"all": {func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithSpans(pipeline.AllSpans) }, `
		GetOrder 160ms pipeline.name=orders pipeline.sends=2
		  retry: recovered 160ms retry.attempts=2 retry.delay.total=0.1 retry.max_attempts=2 retry.outcome=recovered
		    breaker 30ms attempt=1 circuit_breaker.outcome=failure circuit_breaker.state=closed
		      timeout 30ms attempt=1 timeout.limit=10 timeout.outcome=completed
		        GET CLIENT ✗ 30ms attempt=1 error.type=500 http.response.status_code=500
		    backoff after 500 100ms retry.delay.source=backoff retry.delay=0.1 retry.next_attempt=2 retry.reason=500
		    breaker 30ms attempt=2 circuit_breaker.outcome=success circuit_breaker.state=closed
		      timeout 30ms attempt=2 timeout.limit=10 timeout.outcome=completed
		        GET CLIENT 30ms attempt=2 http.request.resend_count=1 http.response.status_code=200
		`},
		"plain names": {(*pipeline.Pipeline).WithPlainSpanNames, `
		GetOrder 160ms pipeline.name=orders pipeline.sends=2
		  retry 160ms retry.attempts=2 retry.delay.total=0.1 retry.max_attempts=2 retry.outcome=recovered
		    breaker 30ms attempt=1 circuit_breaker.outcome=failure circuit_breaker.state=closed
		      timeout 30ms attempt=1 timeout.limit=10 timeout.outcome=completed
		        GET CLIENT ✗ 30ms attempt=1 error.type=500 http.response.status_code=500
		    backoff after 500 100ms retry.delay.source=backoff retry.delay=0.1 retry.next_attempt=2 retry.reason=500
		    breaker 30ms attempt=2 circuit_breaker.outcome=success circuit_breaker.state=closed
		      timeout 30ms attempt=2 timeout.limit=10 timeout.outcome=completed
		        GET CLIENT 30ms attempt=2 http.request.resend_count=1 http.response.status_code=200
		`},
		"pipeline": {func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithSpans(pipeline.PipelineSpans) }, `
		GetOrder 160ms circuit_breaker.outcome=success circuit_breaker.state=closed pipeline.name=orders pipeline.sends=2 retry.attempts=2 retry.delay.total=0.1 retry.max_attempts=2 retry.outcome=recovered timeout.limit=10 timeout.outcome=completed
		  GET CLIENT ✗ 30ms attempt=1 error.type=500 http.response.status_code=500
		  GET CLIENT 30ms attempt=2 http.request.resend_count=1 http.response.status_code=200
		`},
		"none": {func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithSpans(pipeline.NoSpans) }, ""},
		"no HTTP": {(*pipeline.Pipeline).WithoutHTTPSpans, `
		GetOrder 160ms pipeline.name=orders pipeline.sends=2
		  retry: recovered 160ms retry.attempts=2 retry.delay.total=0.1 retry.max_attempts=2 retry.outcome=recovered
		    breaker 30ms attempt=1 circuit_breaker.outcome=failure circuit_breaker.state=closed
		      timeout 30ms attempt=1 timeout.limit=10 timeout.outcome=completed
		    backoff after 500 100ms retry.delay.source=backoff retry.delay=0.1 retry.next_attempt=2 retry.reason=500
		    breaker 30ms attempt=2 circuit_breaker.outcome=success circuit_breaker.state=closed
		      timeout 30ms attempt=2 timeout.limit=10 timeout.outcome=completed
		`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stage{T: t}
				s.set(steady(2), brittle(), timeout.New(timeout.Config{}))
				unchanged := s.p
				s.p = tt.option(s.p)
				s.get(replied(500), ok)
				compare(t, outline(s.spans.Started(), everything), tt.want)
				// Whatever spans there are, calls are measured.
				if _, ok := collected(t, s.reader)["evenkeel.retry.calls"]; !ok {
					t.Error("the call was not measured")
				}
				spans := len(s.spans.Ended())
				s.p = unchanged
				s.get(ok)
				if got := len(s.spans.Ended()) - spans; got != 5 {
					t.Errorf("the pipeline that was copied has %d spans, want 5", got)
				}
			})
		})
	}
}

// That a call is part of somebody's trace does not turn ours on.
func TestNoSpansInATrace(t *testing.T) {
	for name, option := range map[string]func(*pipeline.Pipeline) *pipeline.Pipeline{
		"no spans":    func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithSpans(pipeline.NoSpans) },
		"no provider": func(p *pipeline.Pipeline) *pipeline.Pipeline { return p.WithTracerProvider(nil) },
	} {
		p, spans := recorded(pipeline.Must(pipeline.New("orders", tries(2))))
		ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("theirs").Start(t.Context(), "theirs")
		(&stage{T: t, p: option(p)}).send(ctx, "GET", replied(500), ok)
		span.End()
		if got := len(spans.Ended()); got != 1 {
			t.Errorf("%s: %d spans, want 1, which is theirs", name, got)
		}
	}
}

// A failure shows where the policies have no spans, and so do links.
func TestPipelineSpansOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{T: t}
		s.set(brittle())
		s.p = s.p.WithSpans(pipeline.PipelineSpans)
		for range 2 {
			s.get(cutOff)
		}
		s.get(ok)
		time.Sleep(time.Second)
		compare(t, outline(s.spans.Started(), only("error.type", "evenkeel.circuit_breaker.outcome")), `
		#1 GetOrder ✗ 30ms type=eof outcome=failure
		  GET CLIENT ✗ 30ms type=eof
		#2 GetOrder ✗ 30ms type=eof outcome=failure
		  GET CLIENT ✗ 30ms type=eof
		#3 GetOrder ✗ type=circuit_open outcome=rejected ↪ #2 GetOrder
		`)
	})
}

// MarkResends marks the spans of others, from the second send on, and leaves
// requests alone that are of no pipeline.
func TestMarkResends(t *testing.T) {
	p, spans := recorded(pipeline.Must(pipeline.New("orders", tries(3))))
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("theirs")
	replies := &script{replies: []reply{replied(500), cutOff, ok}}
	marked := pipeline.MarkResends(replies)
	theirs := roundTripper(func(req *http.Request) (*http.Response, error) {
		ctx, span := tracer.Start(req.Context(), "theirs", trace.WithSpanKind(trace.SpanKindClient))
		defer span.End()
		return marked.RoundTrip(req.WithContext(ctx))
	})
	response, err := p.WithoutHTTPSpans().Transport(theirs).RoundTrip(request(t, "GET", "https://api.example.com", nil))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	response, err = theirs.RoundTrip(request(t, "GET", "https://api.example.com", nil))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	got := durations.ReplaceAllString(outline(spans.Started(), only("http.request.resend_count")), "")
	compare(t, got, `
		#1 HTTP GET
		  retry: recovered
		    theirs CLIENT
		    backoff after 500
		    theirs CLIENT resend_count=1
		    backoff after eof
		    theirs CLIENT resend_count=2
		#2 theirs CLIENT
		`)
}

// Pipelines that are package variables are made before the program installs its
// providers. As those are for the whole process, this is one of its own.
func TestGlobalProvidersThatComeLater(t *testing.T) {
	const child = "EVENKEEL_TEST_GLOBALS"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	p := pipeline.Must(pipeline.New("orders", brittle()))
	_ = p.Do(t.Context(), policy.Call{}, succeed)

	spans, reader, logs := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader(), &logRecorder{}
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	otel.SetMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	otel.SetLoggerProvider(sdklog.NewLoggerProvider(sdklog.WithProcessor(logs)))
	otel.SetTextMapPropagator(propagation.TraceContext{})

	var sent http.Header
	s := &stage{T: t, p: p}
	s.get(cutOff)
	s.get(func(req *http.Request) (*http.Response, error) { sent = req.Header; return nil, errTest })
	if len(spans.Ended()) != 6 || len(logs.records) != 1 || sent.Get("Traceparent") == "" {
		t.Errorf("%d spans, %d records, header %v; want 6, 1, and a trace context", len(spans.Ended()), len(logs.records), sent)
	}
	metrics := collected(t, reader)
	for _, name := range []string{"evenkeel.pipeline.duration", "http.client.request.duration", "evenkeel.circuit_breaker.calls", "evenkeel.circuit_breaker.status"} {
		if _, ok := metrics[name]; !ok {
			t.Errorf("no metric %s", name)
		}
	}
	scope := spans.Ended()[0].InstrumentationScope()
	if scope.Name != "github.com/evenkeel-go/evenkeel" || scope.SchemaURL == "" {
		t.Errorf("scope is %+v, want the module's path and a schema", scope)
	}
}
