package jaeger

import (
	"errors"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// This file has as much as is needed of OTLP in JSON, by the names of its protocol buffers. See
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding.

type tracesData struct {
	ResourceSpans []struct {
		Resource   struct{ Attributes []keyValue }
		ScopeSpans []struct {
			Scope struct{ Name, Version string }
			Spans []span
		}
	}
}

type span struct {
	TraceID, SpanID, ParentSpanID string // in hexadecimal
	Name                          string
	Kind                          trace.SpanKind // with the same numbers
	StartTimeUnixNano             int64          `json:",string"`
	EndTimeUnixNano               int64          `json:",string"`
	Attributes                    []keyValue
	Events                        []struct{ Name string }
	Links                         []struct{ TraceID, SpanID string }
	Status                        struct {
		Code    int
		Message string
	}
}

type keyValue struct {
	Key   string
	Value struct {
		StringValue *string
		BoolValue   *bool
		IntValue    *string
		DoubleValue *float64
	}
}

func (d *tracesData) stubs() (tracetest.SpanStubs, error) {
	var stubs tracetest.SpanStubs
	var errs []error
	for _, rs := range d.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				stub, err := s.stub()
				stub.Resource = resource.NewSchemaless(attributes(rs.Resource.Attributes)...)
				stub.InstrumentationScope = instrumentation.Scope{Name: ss.Scope.Name, Version: ss.Scope.Version}
				stubs, errs = append(stubs, stub), append(errs, err)
			}
		}
	}
	return stubs, errors.Join(errs...)
}

func (s *span) stub() (tracetest.SpanStub, error) {
	var errs []error
	context := func(traceID, spanID string) trace.SpanContext {
		c, err := spanContext(traceID, spanID)
		errs = append(errs, err)
		return c
	}
	stub := tracetest.SpanStub{
		Name:        s.Name,
		SpanContext: context(s.TraceID, s.SpanID),
		SpanKind:    s.Kind,
		StartTime:   time.Unix(0, s.StartTimeUnixNano),
		EndTime:     time.Unix(0, s.EndTimeUnixNano),
		Attributes:  attributes(s.Attributes),
		Status:      sdktrace.Status{Code: statusCodes[s.Status.Code], Description: s.Status.Message},
	}
	if s.ParentSpanID != "" {
		stub.Parent = context(s.TraceID, s.ParentSpanID)
	}
	for _, e := range s.Events {
		stub.Events = append(stub.Events, sdktrace.Event{Name: e.Name})
	}
	for _, l := range s.Links {
		stub.Links = append(stub.Links, sdktrace.Link{SpanContext: context(l.TraceID, l.SpanID)})
	}
	return stub, errors.Join(errs...)
}

func spanContext(traceID, spanID string) (trace.SpanContext, error) {
	t, err1 := trace.TraceIDFromHex(traceID)
	s, err2 := trace.SpanIDFromHex(spanID)
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t, SpanID: s}), errors.Join(err1, err2)
}

// statusCodes holds what is an error in 1 and what is good in 2, unlike OTLP.
var statusCodes = map[int]codes.Code{1: codes.Ok, 2: codes.Error}

// attributes returns those that have a single value.
func attributes(kvs []keyValue) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	for _, kv := range kvs {
		switch key, v := attribute.Key(kv.Key), kv.Value; {
		case v.StringValue != nil:
			attrs = append(attrs, key.String(*v.StringValue))
		case v.BoolValue != nil:
			attrs = append(attrs, key.Bool(*v.BoolValue))
		case v.DoubleValue != nil:
			attrs = append(attrs, key.Float64(*v.DoubleValue))
		case v.IntValue != nil:
			if n, err := strconv.ParseInt(*v.IntValue, 10, 64); err == nil {
				attrs = append(attrs, key.Int64(n))
			}
		}
	}
	return attrs
}
