package pipeline

import (
	"context"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/evenkeel-go/evenkeel/policy"
)

// scope names the library as the one who makes the spans.
const scope = "github.com/evenkeel-go/evenkeel"

func (p *Pipeline) useGlobals() {
	tp := otel.GetTracerProvider()
	p.tracer = tracerOf(tp)
	if isPlaceholder(tp) {
		p.placeholder = tp
	}
	p.propagator = otel.GetTextMapPropagator()
	p.meters = newMeters(otel.GetMeterProvider(), p)
	p.logger = loggerOf(otel.GetLoggerProvider())
}

// isPlaceholder reports whether tp is what package otel has for the global provider
// until a program installs one.
func isPlaceholder(tp trace.TracerProvider) bool {
	t := reflect.TypeOf(tp)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "go.opentelemetry.io/otel/internal/global"
}

// traces reports whether calls may have spans.
func (p *Pipeline) traces() bool {
	if p.tracer == nil || p.detail == NoSpans {
		return false
	}
	return p.placeholder == nil || otel.GetTracerProvider() != p.placeholder
}

func tracerOf(tp trace.TracerProvider) trace.Tracer {
	return tp.Tracer(scope, trace.WithInstrumentationVersion(version()), trace.WithSchemaURL(semconv.SchemaURL))
}

func loggerOf(lp log.LoggerProvider) log.Logger {
	return lp.Logger(scope, log.WithInstrumentationVersion(version()), log.WithSchemaURL(semconv.SchemaURL))
}

// version returns the version of the library that the program was built with, or
// "" if it is not known.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if info.Main.Path == scope {
		return info.Main.Version
	}
	for _, module := range info.Deps {
		if module.Path == scope {
			return module.Version
		}
	}
	return ""
})

// WithTracerProvider returns a copy of p, with the same policies and the state
// that they keep, whose spans go to tp. Default: the global provider, once the
// program has installed one; for an agent that instruments the process from outside, give
// [otel.GetTracerProvider] here. Nested pipelines keep their own. With a provider of package
// [go.opentelemetry.io/otel/trace/noop] or nil nothing is traced, at no cost.
func (p *Pipeline) WithTracerProvider(tp trace.TracerProvider) *Pipeline {
	return p.with(func(q *Pipeline) {
		q.tracer, q.placeholder = nil, nil
		if _, off := tp.(noop.TracerProvider); !isNil(tp) && !off {
			q.tracer = tracerOf(tp)
		}
	})
}

// WithMeterProvider returns a copy of p that measures its calls, and what policies
// decide about them, by instruments of mp. Default: the global provider, also one
// that is installed later. Nested pipelines keep their own. With nil nothing is
// measured.
func (p *Pipeline) WithMeterProvider(mp metric.MeterProvider) *Pipeline {
	return p.with(func(q *Pipeline) {
		if isNil(mp) {
			mp = noopmetric.NewMeterProvider()
		}
		if !same(mp, q.meters.provider) { // which would have gauges count twice
			q.meters = newMeters(mp, q)
		}
	})
}

// WithLoggerProvider returns a copy of p that logs to lp what concerns more than
// one call, such as the opening of a circuit. Default: the global provider, also
// one that is installed later. Nested pipelines keep their own. With nil nothing is
// logged. See also [SlogObserver].
func (p *Pipeline) WithLoggerProvider(lp log.LoggerProvider) *Pipeline {
	return p.with(func(q *Pipeline) {
		q.logger = nil
		if !isNil(lp) {
			q.logger = loggerOf(lp)
		}
	})
}

// SpanDetail says which spans there are of a call.
type SpanDetail int

const (
	// AllSpans are those of the call, of each policy that it passes through, of
	// their waits and token requests, and of each HTTP request that is sent.
	AllSpans SpanDetail = iota

	// PipelineSpans are those of the call, which also has the attributes of its
	// policies, and of each HTTP request that is sent.
	PipelineSpans

	// NoSpans is none at all, whatever the provider.
	NoSpans
)

// WithSpans returns a copy of p that makes fewer spans. Default: [AllSpans].
func (p *Pipeline) WithSpans(detail SpanDetail) *Pipeline {
	return p.with(func(q *Pipeline) { q.detail = detail })
}

// WithPlainSpanNames returns a copy of p whose policies' spans are named after the
// kind of policy alone, "retry", for those who count spans by their names. Default: they
// tell of what was decided, too: "retry: recovered".
func (p *Pipeline) WithPlainSpanNames() *Pipeline {
	return p.with(func(q *Pipeline) { q.plainNames = true })
}

// WithoutHTTPSpans returns a copy of p that makes no span of its own for each HTTP
// request that is sent, measures none, and writes no trace context into it. It is
// for those whose base transport does that, as that of package otelhttp. Such a
// base's own base may be wrapped by [MarkResends].
func (p *Pipeline) WithoutHTTPSpans() *Pipeline {
	return p.with(func(q *Pipeline) { q.foreignSpans = true })
}

// WithPropagator returns a copy of p that writes the trace context into HTTP
// requests by means of pr. Default: the global propagator. With nil nothing is
// written.
func (p *Pipeline) WithPropagator(pr propagation.TextMapPropagator) *Pipeline {
	return p.with(func(q *Pipeline) {
		q.propagator = pr
		if isNil(pr) {
			q.propagator = propagation.NewCompositeTextMapPropagator()
		}
	})
}

// WithObserver returns a copy of p that calls observe with the events of its
// policies, see [policy.Call.Emit], after those observers that p already has.
// The call waits for it, and several calls may call it at a time. It must not
// panic: a policy may speak from a goroutine of its own, as auth does when a token
// has come. The events of nested pipelines go to their own observers.
func (p *Pipeline) WithObserver(observe func(ctx context.Context, event policy.Event)) *Pipeline {
	return p.with(func(q *Pipeline) {
		if observe != nil {
			// Clip, so that copies of p never share the element appended here.
			q.observers = append(slices.Clip(q.observers), observe)
		}
	})
}

// WithFailures returns a copy of p whose Transport takes answers with the given
// status codes for failures, too, besides those that p already does. That lets policies
// know of them: 403, for an API that refuses a revoked token by it. Inside of
// the pipeline such an answer is a [StatusError], of class [policy.Permanent] if it is
// no failure by itself. If the policies settle for it, the HTTP client gets it as
// the server sent it, body unread. Default: 401, 408, 429 and 5xx.
func (p *Pipeline) WithFailures(statusCodes ...int) *Pipeline {
	return p.with(func(q *Pipeline) {
		// Clip, as in WithObserver.
		q.failures = append(slices.Clip(q.failures), statusCodes...)
	})
}

// with returns a changed copy of p. A p that is not usable stays so.
func (p *Pipeline) with(change func(*Pipeline)) *Pipeline {
	if p == nil || p.first == nil {
		return p
	}
	q := *p
	change(&q)
	return q.compose()
}
