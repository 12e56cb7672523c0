package pipeline_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// docs/telemetry.md tells all that there is, and there is all that it tells:
// what the scenarios bring is compared with its tables.
func TestTelemetryIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	told, found := tables(string(text)), observe(t)
	for _, name := range []string{"Spans", "Attributes", "Metrics", "Events", "Log records"} {
		for line := range found[name] {
			if !told[name][line] {
				t.Errorf("%s: not in the document: %s", name, line)
			}
		}
		for line := range told[name] {
			if !found[name][line] {
				t.Errorf("%s: in the document, but in no scenario: %s", name, line)
			}
		}
	}
}

// No policy says what is in no scenario: all that their sources have is in the
// document, and so is played.
func TestWhatSourcesSayIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(text)
	for dir, namespace := range map[string]string{
		"retry": "retry", "hedge": "hedge", "breaker": "circuit_breaker", "timeout": "timeout", "auth": "auth",
		"bulkhead": "bulkhead", "ratelimit": "rate_limit", "throttle": "throttle", "limit": "limit",
		"fallback": "fallback", "coalesce": "coalesce", "chaos": "chaos",
	} {
		events := regexp.MustCompile(`"(` + dir + `\.[a-z_]+)"`)
		keys := regexp.MustCompile(`slog\.(?:String|Int|Int64|Float64|Bool|Duration)\("([a-z_.]+)"`)
		source := sourceOf(t, dir)
		if !keys.MatchString(source) && !events.MatchString(source) {
			t.Errorf("%s says nothing", dir)
		}
		for _, match := range events.FindAllStringSubmatch(source, -1) {
			if !strings.Contains(document, "`"+match[1]+"`") {
				t.Errorf("event %s is not in the document", match[1])
			}
		}
		for _, match := range keys.FindAllStringSubmatch(source, -1) {
			if key := "evenkeel." + namespace + "." + match[1]; !strings.Contains(document, "`"+key+"`") {
				t.Errorf("attribute %s is not in the document", key)
			}
		}
	}
}

// sourceOf returns the source of a package, without its tests.
func sourceOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	return source.String()
}

// A vocabulary has a set of facts, one a line, by the headings of the document.
type vocabulary map[string]map[string]bool

func (v vocabulary) add(heading string, facts ...string) {
	if v[heading] == nil {
		v[heading] = make(map[string]bool)
	}
	for _, fact := range facts {
		v[heading][fact] = true
	}
}

// tables returns the facts in the tables of the document. A cell with several
// names or values holds several facts.
func tables(text string) vocabulary {
	v, heading := make(vocabulary), ""
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			heading = strings.TrimSpace(title)
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		name := names(cells[0])[0]
		switch heading {
		case "Spans":
			v.add(heading, name+" "+cells[1])
		case "Attributes":
			for span := range strings.SplitSeq(cells[2], ", ") {
				v.add(heading, fmt.Sprintf("%s %s on %s", name, cells[1], span))
			}
			for _, value := range names(cells[3]) {
				v.add(heading, name+" = "+value)
			}
		case "Metrics":
			v.add(heading, fmt.Sprintf("%s %s %s", name, cells[1], names(cells[2])[0]))
			for _, key := range names(cells[3]) {
				v.add(heading, name+" by "+key)
			}
		case "Events":
			v.add(heading, name)
			for _, key := range names(cells[1]) {
				v.add(heading, name+" with "+key)
			}
		case "Log records":
			v.add(heading, name+" "+cells[1])
		}
	}
	return v
}

var quotedName = regexp.MustCompile("`([^`]+)`")

// names returns what is in backquotes.
func names(cell string) []string {
	var names []string
	for _, match := range quotedName.FindAllStringSubmatch(cell, -1) {
		names = append(names, match[1])
	}
	return names
}

// observe returns the facts that the scenarios show.
func observe(t *testing.T) vocabulary {
	v := make(vocabulary)
	for _, scenario := range scenarios() {
		if scenario.name == "own-policy" { // whose words are its own
			continue
		}
		s := played(t, scenario)
		for _, span := range s.spans.Ended() {
			v.addSpan(span)
		}
		for _, m := range s.measured {
			v.addMetric(m)
		}
		for _, event := range s.events {
			v.add("Events", event.Name)
			for _, attr := range event.Attrs {
				if attr.Value.Kind() != slog.KindAny && attr.Key != "key.digest" && attr.Key != "shadow" { // all may be in many events
					v.add("Events", event.Name+" with "+attr.Key)
				}
			}
		}
		for _, r := range s.logs.records {
			v.add("Log records", r.EventName()+" "+r.SeverityText())
		}
	}
	return v
}

func (v vocabulary) addSpan(span sdktrace.ReadOnlySpan) {
	name, kind := span.Name(), strings.ToUpper(span.SpanKind().String())
	group, _, _ := strings.Cut(name, ":")
	switch {
	case span.SpanKind() == trace.SpanKindClient:
		group = "HTTP request"
		if name != "HTTP" {
			name = "{method}"
		}
	case !span.Parent().IsValid() && len(span.Links()) == 0:
		name, group = "{call}", "call"
	case strings.HasPrefix(name, "backoff after "):
		name, group = "backoff after {error.type}", "backoff"
	}
	v.add("Spans", strings.TrimSpace(name+" "+kind))
	for _, kv := range span.Attributes() {
		v.addAttribute(group, kv)
	}
}

// closed are the attributes whose values are few: all of them are documented.
var closed = regexp.MustCompile(`^error\.type$|outcome$|state$|reason$|\.source$|grant_type$|policy\.type$|fault$`)

func (v vocabulary) addAttribute(group string, kv attribute.KeyValue) {
	key, kind := string(kv.Key), map[attribute.Type]string{
		attribute.STRING: "string", attribute.INT64: "int", attribute.FLOAT64: "double", attribute.BOOL: "boolean",
	}[kv.Value.Type()]
	v.add("Attributes", fmt.Sprintf("%s %s on %s", key, kind, group))
	if closed.MatchString(key) {
		v.add("Attributes", key+" = "+classified(group, key, kv.Value.String()))
	}
}

var statusCode = regexp.MustCompile(`^[1-5][0-9][0-9]$`)

// classified returns a value, or what the document calls it.
func classified(group, key, value string) string {
	switch {
	case group == "backoff" && key == "evenkeel.retry.reason", key == "evenkeel.fallback.reason":
		return "{error.type}"
	case statusCode.MatchString(value):
		return "{status}"
	case strings.HasPrefix(value, "invalid_"):
		return "{error code}"
	default:
		return value
	}
}

func (v vocabulary) addMetric(m metricdata.Metrics) {
	kind := ""
	var sets []attribute.Set
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		kind = "histogram"
		for _, point := range data.DataPoints {
			sets = append(sets, point.Attributes)
		}
	case metricdata.Sum[int64]:
		kind = "counter"
		for _, point := range data.DataPoints {
			sets = append(sets, point.Attributes)
		}
	case metricdata.Sum[float64]:
		kind = "up-down counter"
		for _, point := range data.DataPoints {
			sets = append(sets, point.Attributes)
		}
	case metricdata.Gauge[float64]:
		kind = "gauge"
		for _, point := range data.DataPoints {
			sets = append(sets, point.Attributes)
		}
	}
	v.add("Metrics", fmt.Sprintf("%s %s %s", m.Name, kind, m.Unit))
	for _, set := range sets {
		for _, kv := range set.ToSlice() {
			v.add("Metrics", m.Name+" by "+string(kv.Key))
		}
	}
}
