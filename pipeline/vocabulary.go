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

// namespaceOf returns what a policy of the given kind has before the names of its
// attributes and metrics, after "evenkeel.". Metrics have no other characters than
// these in their names; policies may.
func namespaceOf(kind string) string {
	switch kind {
	case "breaker":
		return "circuit_breaker"
	case "ratelimit": // as its events are called
		return "rate_limit"
	}
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_.-/", r) {
			return r
		}
		return '_'
	}, kind)
}

// attributes translates what a policy of the given kind says to attributes, such
// as "evenkeel.retry.attempts".
func attributes(kind string, attrs []slog.Attr) []attribute.KeyValue {
	return appendAttributes(make([]attribute.KeyValue, 0, len(attrs)), kind, attrs)
}

func appendAttributes(kvs []attribute.KeyValue, kind string, attrs []slog.Attr) []attribute.KeyValue {
	for _, attr := range attrs {
		if value, ok := translate(attr.Value.Resolve()); ok {
			kvs = append(kvs, attribute.KeyValue{Key: keyOf(kind, attr.Key), Value: value})
		}
	}
	return kvs
}

// appendPlace appends which of the call's attempts a span is part of: at most two
// attributes.
func appendPlace(kvs []attribute.KeyValue, call policy.Call) []attribute.KeyValue {
	if call.Attempt > 0 {
		kvs = append(kvs, attribute.Int("evenkeel.attempt", call.Attempt))
	}
	if call.Hedge > 0 {
		kvs = append(kvs, attribute.Int("evenkeel.hedge.number", call.Hedge))
	}
	return kvs
}

// keyOf returns the key of an attribute. Those in use are put together once.
func keyOf(kind, key string) attribute.Key {
	k := [2]string{kind, key}
	if full, ok := keys[k]; ok {
		return full
	}
	return attribute.Key("evenkeel." + namespaceOf(kind) + "." + key)
}

// keys holds the keys of attributes that spans have even if all goes well.
var keys = map[[2]string]attribute.Key{
	{"retry", "outcome"}:       "evenkeel.retry.outcome",
	{"breaker", "state"}:       "evenkeel.circuit_breaker.state",
	{"breaker", "outcome"}:     "evenkeel.circuit_breaker.outcome",
	{"timeout", "limit"}:       "evenkeel.timeout.limit",
	{"timeout", "outcome"}:     "evenkeel.timeout.outcome",
	{"chaos", "outcome"}:       "evenkeel.chaos.outcome",
	{"coalesce", "outcome"}:    "evenkeel.coalesce.outcome",
	{"fallback", "outcome"}:    "evenkeel.fallback.outcome",
	{"hedge", "delay"}:         "evenkeel.hedge.delay",
	{"hedge", "outcome"}:       "evenkeel.hedge.outcome",
	{"throttle", "outcome"}:    "evenkeel.throttle.outcome",
	{"limit", "outcome"}:       "evenkeel.limit.outcome",
	{"limit", "max_in_flight"}: "evenkeel.limit.max_in_flight",
	{"auth", "token.source"}:   "evenkeel.auth.token.source",
	{"auth", "challenged"}:     "evenkeel.auth.challenged",
	{"bulkhead", "outcome"}:    "evenkeel.bulkhead.outcome",

	{"rate limit", "outcome"}: "evenkeel.rate_limit.outcome",
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
		case link:
			return attribute.Value{}, false // is a link
		case error:
			return attribute.StringValue(policy.ErrorType(x)), true
		case fmt.Stringer:
			return attribute.StringValue(x.String()), true
		default:
			return attribute.Value{}, false
		}
	}
}
