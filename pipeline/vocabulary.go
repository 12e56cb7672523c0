package pipeline

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/evenkeel-go/evenkeel/policy"
)

// explains reports whether an event only says why its policy did nothing about
// a failure that was made further in: that is so for the reasons that lie in the
// failure or its caller.
func explains(event policy.Event) bool {
	return slices.ContainsFunc(event.Attrs, func(attr slog.Attr) bool {
		return attr.Key == "reason" && slices.Contains([]string{"class", "once", "canceled"}, attr.Value.String())
	})
}

// split takes an event's name apart: "breaker.probe_failed" is in the
// namespace "breaker" and reads "probe failed".
func split(event string) (namespace, outcome string) {
	namespace, outcome, ok := strings.Cut(event, ".")
	if !ok {
		outcome = namespace
	}
	return namespace, strings.ReplaceAll(outcome, "_", " ")
}

// attributes translates what a policy says to attributes of a span, such as
// "evenkeel.retry.attempts".
func attributes(namespace string, attrs []slog.Attr) []attribute.KeyValue {
	if namespace == "breaker" {
		namespace = "circuit_breaker"
	}
	kvs := make([]attribute.KeyValue, 0, len(attrs))
	for _, attr := range attrs {
		key := attribute.Key("evenkeel." + namespace + "." + attr.Key)
		if value, ok := translate(attr.Value.Resolve()); ok {
			kvs = append(kvs, attribute.KeyValue{Key: key, Value: value})
		}
	}
	return kvs
}

// translate returns v as a value of an attribute. Durations are in seconds, and
// of an error only its type is shown: its text may hold anything.
func translate(v slog.Value) (attribute.Value, bool) {
	switch v.Kind() {
	case slog.KindString:
		return attribute.StringValue(v.String()), true
	case slog.KindInt64:
		return attribute.Int64Value(v.Int64()), true
	case slog.KindUint64:
		return attribute.Int64Value(int64(min(v.Uint64(), 1<<63-1))), true
	case slog.KindFloat64:
		return attribute.Float64Value(v.Float64()), true
	case slog.KindBool:
		return attribute.BoolValue(v.Bool()), true
	case slog.KindDuration:
		return attribute.Float64Value(v.Duration().Seconds()), true
	default:
		switch x := v.Any().(type) {
		case error:
			return attribute.StringValue(policy.ErrorType(x)), true
		case fmt.Stringer:
			return attribute.StringValue(x.String()), true
		default:
			return attribute.Value{}, false
		}
	}
}
