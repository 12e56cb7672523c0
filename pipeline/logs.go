package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"

	"github.com/evenkeel-go/evenkeel/policy"
)

// severities are those of the events that are worth a line in a log, whatever the
// trace: what they tell concerns other calls, too.
var severities = map[string]log.Severity{
	"breaker.opened":      log.SeverityWarn,
	"breaker.half_opened": log.SeverityInfo,
	"breaker.closed":      log.SeverityInfo,
	"auth.save_failed":    log.SeverityError,
	"auth.save_lost":      log.SeverityError,
	"auth.saved":          log.SeverityInfo,
}

// severityOf returns how severe an event is, or 0 if it is no news.
func severityOf(event policy.Event) log.Severity {
	if event.Name == "auth.refresh_failed" && textOf(event.Attrs, "outcome") == "reauth_required" {
		return log.SeverityError
	}
	return severities[event.Name]
}

// record writes an event to the log, if it is worth that.
func (l *layer) record(ctx context.Context, event policy.Event) {
	severity := severityOf(event)
	if severity == 0 {
		return
	}
	namespace, _ := split(event.Name)
	name := eventName(namespace, event)
	logger := l.pipeline.logger
	if logger == nil || !logger.Enabled(ctx, log.EnabledParameters{Severity: severity, EventName: name}) {
		return
	}
	var r log.Record
	r.SetEventName(name)
	r.SetSeverity(severity)
	r.SetSeverityText(severity.String())
	r.SetBody(attribute.StringValue(event.Name))
	r.AddAttributes(attribute.String("evenkeel.pipeline.name", event.Pipeline), attribute.String("evenkeel.policy.name", event.Policy))
	if event.Call.Key != "" {
		r.AddAttributes(attribute.String("evenkeel.key", event.Call.Key))
	}
	r.AddAttributes(attributes(namespaceOf(namespace), event.Attrs)...)
	logger.Emit(ctx, r)
}

// eventName returns the name of an event in the log. All changes of a state have
// the same.
func eventName(namespace string, event policy.Event) string {
	if textOf(event.Attrs, "new_state") != "" {
		return "evenkeel." + namespaceOf(namespace) + ".state_changed"
	}
	return "evenkeel." + event.Name
}
