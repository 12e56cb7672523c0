package waterfall_test

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/examples/waterfall"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestGolden(t *testing.T) {
	tests := []struct {
		name   string
		config waterfall.Config
	}{
		{name: "60", config: waterfall.Config{Width: 60}},
		{name: "80", config: waterfall.Config{Width: 80}},
		{name: "default", config: waterfall.Config{}},
		{name: "120", config: waterfall.Config{Width: 120}},
		{name: "color", config: waterfall.Config{Width: 80, Color: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				r := newRecorder(sdktrace.WithSpanProcessor(waterfall.New(&out, tt.config)))
				r.run(t.Context(), recovered)
				r.run(t.Context(), rejected)

				golden(t, tt.name, out.String())
				if !tt.config.Color {
					checkWidth(t, out.String(), cmp.Or(tt.config.Width, 100))
				}
			})
		})
	}
}

func TestOutline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.run(t.Context(), recovered)
		r.run(t.Context(), rejected)

		golden(t, "outline", waterfall.Outline(r.Ended()))
	})
}

func TestFormatCutsBarsThenNotesThenNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.run(t.Context(), step{
			name: "a name that is much longer than is good for anybody", failed: true, took: ms,
			steps: []step{send("GET", ms, false, status(200), errorType(strings.Repeat("long", 10)))},
		})
		got := waterfall.Format(r.Ended(), waterfall.Config{Width: 1})
		want := "" +
			"a name that is much … ✗  2ms  ──────────\n" +
			"└─ GET  CLIENT 200 lon…  1ms  ━━━━━\n"
		if got != want {
			t.Errorf("Format() = \n%s\nwant\n%s", got, want)
		}
		checkWidth(t, got, 40)
	})
}

func TestFormatDeepTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deep := step{name: "the deepest", took: ms}
		for range 50 {
			deep = step{name: "deeper", steps: []step{deep}}
		}
		r := newRecorder()
		r.run(t.Context(), deep)
		for _, width := range []int{40, 60, 80, 100, 120, 200} {
			got := waterfall.Format(r.Ended(), waterfall.Config{Width: width})
			checkWidth(t, got, width)
			if !strings.Contains(got, "the deepest") {
				t.Errorf("width %d: the name of the deepest span is gone:\n%s", width, got)
			}
		}
	})
}

func TestFormatDurations(t *testing.T) {
	tests := []struct {
		took time.Duration
		want string
	}{
		{0, "0s"},
		{999, "999ns"},
		{21 * us, "21µs"},
		{1234 * us, "1.23ms"},
		{41234 * us, "41.2ms"},
		{999_960 * us, "1s"},
		{1249 * ms, "1.25s"},
		{125 * time.Second, "2m5s"},
	}
	for _, tt := range tests {
		start := time.Unix(1, 0)
		spans := tracetest.SpanStubs{{Name: "x", StartTime: start, EndTime: start.Add(tt.took)}}.Snapshots()
		if got := strings.Fields(waterfall.Format(spans, waterfall.Config{}))[1]; got != tt.want {
			t.Errorf("%d ns are printed as %q, want %q", tt.took, got, tt.want)
		}
	}
}

func TestFormatOddTraces(t *testing.T) {
	at := time.Unix(1, 0)
	span := func(id, parent byte, name string, from, to time.Duration) tracetest.SpanStub {
		return tracetest.SpanStub{
			Name:        name,
			SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{id}}),
			Parent:      trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{parent}}),
			StartTime:   at.Add(from),
			EndTime:     at.Add(to),
		}
	}
	server := span(1, 99, "GET /orders", 0, 10*ms)
	server.SpanKind = trace.SpanKindServer
	evil := span(1, 0, "\x1b[2Jboo\nboo", 0, ms)
	evil.Status.Code = codes.Error
	tests := []struct {
		name  string
		spans tracetest.SpanStubs
		want  string
	}{
		{name: "no spans"},
		{
			name:  "two roots, the later first",
			spans: tracetest.SpanStubs{span(2, 98, "second", 5*ms, 10*ms), span(1, 97, "first", 0, 5*ms)},
			want: "" +
				"first   5ms  ━━━━━━━━━━━━━╸\n" +
				"second  5ms               ╺━━━━━━━━━━━━━\n",
		},
		{
			name:  "children of a remote parent's child, and one that outlives it",
			spans: tracetest.SpanStubs{span(3, 1, "late", 5*ms, 20*ms), span(2, 1, "early", 0, ms), server},
			want: "" +
				"GET /orders  SERVER  10ms  ──────╴\n" +
				"├─ early              1ms  ╸\n" +
				"└─ late              15ms     ╺━━━━━━━━━\n",
		},
		{
			name:  "no time at all",
			spans: tracetest.SpanStubs{span(2, 1, "child", 0, 0), span(1, 0, "root", 0, 0)},
			want: "" +
				"root      0s  ╴\n" +
				"└─ child  0s  ╸\n",
		},
		{
			name:  "control characters",
			spans: tracetest.SpanStubs{evil},
			want:  "\uFFFD[2Jboo\uFFFDboo ✗  1ms  " + strings.Repeat("━", 20) + "\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := waterfall.Format(tt.spans.Snapshots(), waterfall.Config{Width: 40})
			if got != tt.want {
				t.Errorf("Format() = \n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant, as in %s,\n%s", got, path, want)
	}
}

func checkWidth(t *testing.T, text string, limit int) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > limit {
			t.Errorf("line is %d columns wide, want at most %d: %s", n, limit, line)
		}
	}
}
