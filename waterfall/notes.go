package waterfall

import (
	"cmp"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// notes returns what is worth knowing about n besides its name: little, or nobody
// would see it. Parent may be nil.
func (n *node) notes(parent *node, more []attribute.Key) string {
	var notes []string
	add := func(note string) {
		if note != "" && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	named := func(key attribute.Key) {
		if value := n.attrs[key]; value != "" {
			add(string(key[strings.LastIndexByte(string(key), '.')+1:]) + "=" + value)
		}
	}

	if n.kind > trace.SpanKindInternal {
		add(strings.ToUpper(n.kind.String()))
	}
	add(n.attrs["http.response.status_code"])
	add(n.attrs["evenkeel.policy.name"])
	add(n.decision())
	add(n.failure())
	if count := n.attrs["http.request.resend_count"]; count != "" {
		add("resend=" + count)
	}
	if attempt := n.attrs["evenkeel.attempt"]; attempt != "1" && parent != nil && parent.attrs["evenkeel.attempt"] == "" {
		named("evenkeel.attempt")
	}
	for _, key := range more {
		named(key)
	}
	if n.unfinished() {
		add("unfinished")
	}
	if len(notes) == 0 {
		return ""
	}
	return gap + strings.Join(notes, " ")
}

// decision returns why a policy decided as it did, if the span's name does not say
// it already.
func (n *node) decision() string {
	if strings.HasPrefix(n.name, "backoff ") {
		return unless(n.attrs["evenkeel.retry.delay.source"], "backoff")
	}
	if n.attrs["evenkeel.circuit_breaker.outcome"] == "rejected" {
		return unless(n.attrs["evenkeel.circuit_breaker.state"], "open")
	}
	return cmp.Or(unless(n.attrs["evenkeel.retry.reason"], "attempts"), n.attrs["evenkeel.circuit_breaker.transition.reason"])
}

// unless returns note, or "" if it says what is usual.
func unless(note, usual string) string {
	if note == usual {
		return ""
	}
	return note
}

// failure returns what kind of failure it was, if the name does not say it already.
func (n *node) failure() string {
	failure := n.attrs["error.type"]
	switch {
	case failure == "" && n.failed:
		return n.description
	case strings.HasPrefix(n.name, failure):
		return ""
	default:
		return failure
	}
}
