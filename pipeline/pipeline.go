// Package pipeline passes calls through policies, and shows in a trace what
// each policy decided.
//
// A pipeline is composed once, of policies from the outermost to the
// innermost, and then carries any number of calls at a time:
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{MaxAttempts: 4}),                // tries again what
//		breaker.New(breaker.Config{OpenFor: 10 * time.Second}), // guards, for each host, the
//		auth.New(auth.Config{Source: source}),                  // authorized request
//	)
//
// There are three entrances. [Pipeline.Transport] is for HTTP, [Run] and
// [RunCall] are for functions with a result of any type, and [Pipeline.Do] is the
// primitive below them. A *Pipeline is a [policy.Policy] itself, so pipelines
// nest.
//
// Each call is a span of its own, with a span below it for each policy that it
// passes through, as long as somebody records them: see
// [Pipeline.WithTracerProvider].
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/log"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Pipeline passes calls through its policies. Make one with [New]. It is
// immutable and safe for concurrent use.
type Pipeline struct {
	name         string
	policies     []policy.Policy
	tracer       trace.Tracer         // nil if tracing is off
	placeholder  trace.TracerProvider // the global one that the tracer is of, if that is a placeholder
	detail       SpanDetail
	foreignSpans bool // whether the base transport makes those of requests
	plainNames   bool // whether the names of policies' spans tell no outcome
	propagator   propagation.TextMapPropagator
	meters       *meters
	logger       log.Logger // nil if there is none
	observers    []func(context.Context, policy.Event)
	failures     []int // status codes that are failures here

	root  *layer         // the pipeline itself, as the one who speaks
	first policy.Handler // the outermost policy, surrounding all others
}

// New returns a pipeline of the given policies, the first of which is the
// outermost. The name appears in traces and messages.
//
// It reports everything that is wrong with the policies, each complaint with
// the names of pipeline and policy: nil policies, none at all, what their
// Validate methods say, and an order that cannot work, such as the same breaker twice.
// For orders that are merely hazardous see [Pipeline.Warnings].
func New(name string, policies ...policy.Policy) (*Pipeline, error) {
	var errs []error
	if err := validateName("name", name, "pipelines"); err != nil {
		errs = append(errs, err)
	}
	if len(policies) == 0 {
		errs = append(errs, errors.New("no policies: want at least one"))
	}
	for i, p := range policies {
		if err := validate(p); err != nil {
			errs = append(errs, prefixed(policyTitle(i, p), err)...)
		}
	}
	errs = append(errs, impossible(policies)...)
	if len(errs) > 0 {
		return nil, errors.Join(prefixed(fmt.Sprintf("pipeline %q", name), errs...)...)
	}
	p := &Pipeline{name: name, policies: slices.Clone(policies)}
	p.useGlobals()
	return p.compose(), nil
}

// Must returns p, and panics if err is not nil. It is for package variables:
//
//	var users = pipeline.Must(pipeline.New("users", retry.New(retry.Config{})))
func Must(p *Pipeline, err error) *Pipeline {
	if err != nil {
		panic(err)
	}
	return p
}

// Name implements [policy.Policy].
func (p *Pipeline) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// String returns the pipeline's name and those of its policies on one line:
// "users: retry → breaker → auth".
func (p *Pipeline) String() string {
	if p == nil {
		return "<nil>"
	}
	names := make([]string, len(p.policies))
	for i, each := range p.policies {
		names[i] = each.Name()
	}
	return p.name + ": " + strings.Join(names, " → ")
}

// Validate reports whether p was made by other means than [New].
func (p *Pipeline) Validate() error {
	if p == nil || p.first == nil {
		return errNotMade
	}
	return nil
}

// Do implements [policy.Policy]: it passes the call through the policies and
// then on to next, which may be called several times, or not at all. It is the
// primitive for calls without a result. A call without a name has its span
// named after the pipeline.
//
// Do allocates nothing for policies that only pass on, as long as nothing is
// traced.
func (p *Pipeline) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if next == nil {
		return errNoOperation
	}
	if call.Operation() != nil {
		return p.do(ctx, call, &nested{next, call.Operation(), call.Recorder()})
	}
	return p.do(ctx, call, function(next))
}

// do passes the call through the policies and on to op.
func (p *Pipeline) do(ctx context.Context, call policy.Call, op policy.Operation) error {
	switch {
	case p == nil || p.first == nil:
		return errNotMade
	case ctx == nil:
		return errNoContext
	case p.traces():
		return p.trace(ctx, call, op)
	case p.heard(ctx):
		return p.measure(ctx, call.WithOperation(op).WithRecorder(p.root))
	default:
		return p.first(ctx, call.WithOperation(op).WithRecorder(nil))
	}
}

// heard reports whether anybody wants to know what policies say, apart from traces.
func (p *Pipeline) heard(ctx context.Context) bool {
	return p.meters.live(ctx) || len(p.observers) > 0 || p.logger != nil && p.logger.Enabled(ctx, worst)
}

// measure passes the call through the policies, and measures it if somebody wants
// to know.
func (p *Pipeline) measure(ctx context.Context, call policy.Call) error {
	if !p.meters.live(ctx) {
		return p.first(ctx, call)
	}
	start := time.Now()
	err := p.first(ctx, call)
	p.meters.called(ctx, time.Since(start), err)
	return err
}

// worst is what the least talkative of logs would still want to know.
var worst = log.EnabledParameters{Severity: log.SeverityError}

// finish is what the innermost policy calls.
func (p *Pipeline) finish(ctx context.Context, call policy.Call) error {
	op := call.Operation()
	if op == nil {
		return errLostCall
	}
	if _, ok := op.(*traced); !ok && call.Recorder() != nil {
		call = call.WithRecorder(p.root)
	}
	return op.Do(ctx, call)
}

var (
	errNotMade     = policy.WithClass(errors.New("pipeline: not usable: want a Pipeline made with New"), policy.Permanent)
	errNoContext   = policy.WithClass(errors.New("pipeline: invalid context nil: want one from the caller"), policy.Permanent)
	errNoOperation = policy.WithClass(errors.New("pipeline: invalid operation nil: want a function"), policy.Permanent)
	errLostCall    = policy.WithClass(errors.New("pipeline: the call leads nowhere: a policy passed on a new Call instead of the one it was given"), policy.Permanent)
	errNoValue     = policy.WithClass(errors.New("pipeline: a policy settled the call without a result"), policy.Permanent)
	errNoResult    = policy.WithClass(errors.New("pipeline: the call has no result to resolve"), policy.Permanent)
)

// compose builds the chain of policies.
func (p *Pipeline) compose() *Pipeline {
	p.root = &layer{pipeline: p}
	p.first = p.finish
	for _, each := range slices.Backward(p.policies) {
		if inner, ok := each.(*Pipeline); ok {
			p.first = around(inner, p.first) // has a span of its own
			continue
		}
		p.first = newLayer(p, each, p.first).handler()
	}
	return p
}

func around(p policy.Policy, next policy.Handler) policy.Handler {
	return func(ctx context.Context, call policy.Call) error { return p.Do(ctx, call, next) }
}

func validate(p policy.Policy) error {
	if isMissing(p) {
		return errors.New("invalid policy nil: want one made with New")
	}
	var errs []error
	if err := validateName("Name", p.Name(), "policies"); err != nil {
		errs = append(errs, err)
	}
	if v, ok := p.(interface{ Validate() error }); ok {
		errs = append(errs, v.Validate())
	}
	return errors.Join(errs...)
}

func validateName(field, name, others string) error {
	if strings.TrimSpace(name) == "" || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("invalid %s %q: want one that tells it from other %s, without control characters", field, name, others)
	}
	return nil
}

// isNil reports whether x is nil or a nil pointer in disguise.
func isNil(x any) bool {
	if x == nil {
		return true
	}
	v := reflect.ValueOf(x)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

func policyTitle(i int, p policy.Policy) string {
	if isMissing(p) {
		return fmt.Sprintf("policy %d", i+1)
	}
	return fmt.Sprintf("policy %d %q", i+1, p.Name())
}

// prefixed returns the errors that errs join, each with a prefix, so that every
// line says where it belongs.
func prefixed(prefix string, errs ...error) []error {
	var all []error
	for _, err := range errs {
		if err == nil {
			continue
		}
		all = append(all, prefixedParts(prefix, err)...)
	}
	return all
}

func prefixedParts(prefix string, err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		// Others than errors.Join have something of their own to say.
		if joined := errors.Join(list.Unwrap()...); joined != nil && joined.Error() == err.Error() {
			return prefixed(prefix, list.Unwrap()...)
		}
	}
	return []error{fmt.Errorf("%s: %w", prefix, err)}
}
