package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// logged returns a line for each record: its severity, name and body, the span
// that it belongs to, and its attributes.
func (s *signals) logged() string {
	spans := make(map[string]string)
	for _, span := range s.spans.Ended() {
		spans[span.SpanContext().TraceID().String()+span.SpanContext().SpanID().String()] = span.Name()
	}
	var text strings.Builder
	for _, r := range s.logs.records {
		fmt.Fprintf(&text, "%s %s (%s) in %q:", r.SeverityText(), r.EventName(), r.Body().AsString(), spans[r.TraceID().String()+r.SpanID().String()])
		var attrs []string
		r.WalkAttributes(func(kv attribute.KeyValue) bool {
			attrs = append(attrs, fmt.Sprintf(" %s=%s", strings.TrimPrefix(string(kv.Key), "evenkeel."), quoted(kv.Value.String())))
			return true
		})
		slices.Sort(attrs)
		text.WriteString(strings.Join(attrs, "") + "\n")
	}
	return text.String()
}

func TestLogs(t *testing.T) {
	tests := map[string]string{ // by scenario
		"circuit": `
		WARN evenkeel.circuit_breaker.state_changed (breaker.opened) in "breaker: opened": circuit_breaker.new_state=open circuit_breaker.open_for=1 circuit_breaker.state=closed circuit_breaker.transition.reason=consecutive_failures key=https://api.example.com pipeline.name=orders policy.name=breaker
		INFO evenkeel.circuit_breaker.state_changed (breaker.half_opened) in "breaker: probe failed": circuit_breaker.new_state=half_open circuit_breaker.state=open key=https://api.example.com pipeline.name=orders policy.name=breaker
		WARN evenkeel.circuit_breaker.state_changed (breaker.opened) in "breaker: probe failed": circuit_breaker.new_state=open circuit_breaker.open_for=1 circuit_breaker.state=half_open circuit_breaker.transition.reason=probe_failed key=https://api.example.com pipeline.name=orders policy.name=breaker
		INFO evenkeel.circuit_breaker.state_changed (breaker.half_opened) in "breaker: probe succeeded": circuit_breaker.new_state=half_open circuit_breaker.state=open key=https://api.example.com pipeline.name=orders policy.name=breaker
		INFO evenkeel.circuit_breaker.state_changed (breaker.closed) in "breaker: probe succeeded": circuit_breaker.new_state=closed circuit_breaker.state=half_open key=https://api.example.com pipeline.name=orders policy.name=breaker
		`,
		"token-reauth-required": `
		ERROR evenkeel.auth.refresh_failed (auth.refresh_failed) in "token refresh: missing": auth.error_code=invalid_grant auth.grant_type=refresh_token auth.outcome=reauth_required auth.refresh.reason=missing auth.waiters=0 key=https://api.example.com pipeline.name=orders policy.name=auth
		`,
		"token-unavailable": "", // concerns those who wait for it only
		"fleet-save-failed": `
		ERROR evenkeel.auth.save_failed (auth.save_failed) in "token refresh: missing": auth.save.error=_OTHER key=https://api.example.com pipeline.name=orders policy.name=auth
		INFO evenkeel.auth.saved (auth.saved) in "token refresh: missing": key=https://api.example.com pipeline.name=orders policy.name=auth
		`,
		"fleet-save-lost": `
		ERROR evenkeel.auth.save_failed (auth.save_failed) in "token refresh: missing": auth.save.error=_OTHER key=https://api.example.com pipeline.name=orders policy.name=auth
		ERROR evenkeel.auth.save_lost (auth.save_lost) in "token refresh: missing": key=https://api.example.com pipeline.name=orders policy.name=auth
		`,
		"recovered":        "",
		"exhausted":        "",
		"timeouts":         "",
		"circuit-forced":   "",
		"aborted-canceled": "",
	}
	all := scenarios()
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(all, func(s scenario) bool { return s.name == name })
			compare(t, played(t, all[i]).logged(), want)
		})
	}
}

// What is logged is logged also if there is no trace, nor anything else.
func TestLogsAlone(t *testing.T) {
	for name, least := range map[string]log.Severity{"all": 0, "from info": log.SeverityInfo, "from warn": log.SeverityWarn, "fatal": log.SeverityFatal} {
		t.Run(name, func(t *testing.T) {
			logs := &logRecorder{least: least}
			p := pipeline.Must(pipeline.New("orders", brittle())).WithTracerProvider(nil).WithMeterProvider(nil).
				WithLoggerProvider(sdklog.NewLoggerProvider(sdklog.WithProcessor(logs)))
			for range 2 {
				_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errTest })
			}
			want := 1
			if least > log.SeverityWarn {
				want = 0
			}
			if got := len(logs.records); got != want {
				t.Fatalf("%d records, want %d", got, want)
			}
			for _, r := range logs.records {
				if scope := r.InstrumentationScope(); scope.Name != "github.com/evenkeel-go/evenkeel" || scope.SchemaURL == "" {
					t.Errorf("scope is %+v, want the module's path and a schema", scope)
				}
				if r.TraceID().IsValid() || r.Severity() != log.SeverityWarn {
					t.Errorf("record has trace %v and severity %v, want none and WARN", r.TraceID(), r.Severity())
				}
			}
		})
	}
}

func TestSlogObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		logger := slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		s := &stage{T: t}
		s.set(steady(3), brittle())
		s.p = s.p.WithObserver(pipeline.SlogObserver(logger))
		s.get(replied(500), cutOff)
		compare(t, inSpans(t, &text, s.signals), `
		DEBUG retry.scheduled in "backoff after 500": call=GetOrder key=https://api.example.com attempt=1
		WARN breaker.opened in "breaker: opened": call=GetOrder key=https://api.example.com attempt=2
		DEBUG retry.scheduled in "backoff after eof": call=GetOrder key=https://api.example.com attempt=2
		DEBUG breaker.rejected in "breaker: rejected": call=GetOrder key=https://api.example.com attempt=3
		DEBUG retry.aborted in "retry: aborted": call=GetOrder key=https://api.example.com attempt=3
		`)
	})
}

// inSpans returns a line for each line of a log in JSON, with the span that it
// belongs to.
func inSpans(t *testing.T, lines *bytes.Buffer, s *signals) string {
	t.Helper()
	spans := make(map[string]string)
	for _, span := range s.spans.Ended() {
		spans[span.SpanContext().TraceID().String()+span.SpanContext().SpanID().String()] = span.Name()
	}
	var text strings.Builder
	for dec := json.NewDecoder(lines); dec.More(); {
		var line map[string]any
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line["pipeline"] != "orders" || line["policy"] == nil {
			t.Errorf("%v is of pipeline %v and policy %v, want orders and one", line["msg"], line["pipeline"], line["policy"])
		}
		fmt.Fprintf(&text, "%v %v in %q: call=%v key=%v attempt=%v\n", line["level"], line["msg"], spans[fmt.Sprint(line["trace_id"], line["span_id"])], line["call"], line["key"], line["attempt"])
	}
	return text.String()
}

// What is not wanted is not put together, and what is not there is left out.
func TestSlogObserverOfOtherLevels(t *testing.T) {
	var text bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	p := pipeline.Must(pipeline.New("orders", tries(2), brittle())).WithTracerProvider(nil).WithObserver(pipeline.SlogObserver(logger))
	for range 2 {
		_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errTest })
	}
	want := "level=WARN msg=breaker.opened pipeline=orders policy=breaker attempt=2 state=closed new_state=open transition.reason=consecutive_failures open_for=1s\n"
	if text.String() != want {
		t.Errorf("log is\n%s\nwant\n%s", &text, want)
	}
}

// No signal of any scenario tells what is secret, which is all that has "canary"
// in it here.
func TestSignalsTellNoSecrets(t *testing.T) {
	for _, scenario := range scenarios() {
		t.Run(scenario.name, func(t *testing.T) {
			s := played(t, scenario)
			var text bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
			observe := pipeline.SlogObserver(logger)
			for _, event := range s.events {
				observe(t.Context(), event)
			}
			for _, span := range s.spans.Ended() {
				fmt.Fprintln(&text, span.Name(), span.Attributes(), span.Status(), span.Events(), span.Links())
			}
			fmt.Fprintf(&text, "%+v\n", s.measured)
			text.WriteString(s.logged())
			if !strings.Contains(text.String(), "orders") {
				t.Error("nothing was told at all")
			}
			if at := strings.Index(text.String(), "canary"); at >= 0 {
				t.Errorf("a secret is told: ...%s", text.String()[max(0, at-100):at+6])
			}
		})
	}
}
