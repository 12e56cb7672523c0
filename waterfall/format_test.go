package waterfall_test

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestFormatGolden(t *testing.T) {
	tests := []struct {
		name   string
		config waterfall.Config
	}{
		{name: "20", config: waterfall.Config{Width: 20}},
		{name: "40", config: waterfall.Config{Width: 40}},
		{name: "60", config: waterfall.Config{Width: 60}},
		{name: "80", config: waterfall.Config{Width: 80}},
		{name: "default", config: waterfall.Config{}},
		{name: "120", config: waterfall.Config{Width: 120}},
		{name: "200", config: waterfall.Config{Width: 200}},
		{name: "color", config: waterfall.Config{Width: 80, Color: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := waterfall.Format(threeTraces(t), tt.config)
				golden(t, tt.name, got)
				if !tt.config.Color {
					checkWidth(t, got, cmp.Or(tt.config.Width, 100))
				}
			})
		})
	}
}

func TestOutlineGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		golden(t, "outline", waterfall.Outline(threeTraces(t)))
	})
}

// threeTraces returns the spans of a call that recovered, of one that was rejected
// because of the first, and of a token request that was made because of the second.
func threeTraces(t *testing.T) []sdktrace.ReadOnlySpan {
	r := newRecorder()
	r.run(t.Context(), recovered)
	r.run(t.Context(), rejected)
	r.run(t.Context(), proactive)
	return r.Ended()
}

// What does not fit is cut: first the notes, then the bars, then the names, and
// never the mark.
func TestFormatCuts(t *testing.T) {
	long := step{
		name: "a name that is much longer than is good for anybody", failed: true, took: ms,
		steps: []step{send("GET", ms, false, status(200), errorType(strings.Repeat("long", 10)))},
	}
	tests := []struct {
		width int
		want  string
	}{
		{80, `
a name that is much longer than is good for anybody ✗        2ms  ──────────────
└─ GET  CLIENT 200 longlonglonglonglonglonglonglonglonglong  1ms  ━━━━━━━
`},
		{60, `
a name that is much longer than is good for anybody ✗    2ms
└ GET  CLIENT 200 longlonglonglonglonglonglonglonglong…  1ms
`},
		{40, `
a name that is much longer than … ✗  2ms
└ GET  CLIENT 200 longlonglonglong…  1ms
`},
		{1, `
a name that … ✗  2ms
└ GET  CLIENT …  1ms
`},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder()
			r.run(t.Context(), long)
			if got := "\n" + waterfall.Format(r.Ended(), waterfall.Config{Width: tt.width}); got != tt.want {
				t.Errorf("width %d: got%s\nwant%s", tt.width, got, tt.want)
			}
		})
	}
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

// A name on a terminal takes as many columns as its characters are wide.
func TestFormatWideCharacters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.run(t.Context(), step{name: "注文", took: ms, steps: []step{
			{name: "支払い", failed: true, took: ms},
			{name: "cafe\u0301 🚢", took: ms},
			{name: "plain", took: ms},
		}})
		got := "\n" + waterfall.Format(r.Ended(), waterfall.Config{Width: 40})
		want := `
注文         4ms  ──────────────────────
├─ 支払い ✗  1ms  ━━━━━╸
├─ café 🚢   1ms       ╺━━━━━
└─ plain     1ms             ━━━━━╸
`
		want = strings.ReplaceAll(want, "é", "e\u0301")
		if got != want {
			t.Errorf("got%s\nwant%s", got, want)
		}
		narrow := waterfall.Format(r.Ended(), waterfall.Config{Width: 20})
		checkWidth(t, narrow, 20)
	})
}

// No line is longer than it may be, and no span is missing, whatever the trace.
func TestFormatAnyTrace(t *testing.T) {
	alphabet := []rune("abc 注文🚢e\u0301✗-_")
	random := rand.New(rand.NewPCG(1, 2))
	name := func() string {
		runes := make([]rune, random.IntN(60))
		for i := range runes {
			runes[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(runes)
	}
	for range 300 {
		spans := make(tracetest.SpanStubs, 1+random.IntN(30))
		for i := range spans {
			id := byte(i + 1)
			s := span(id, byte(random.IntN(i+1)), name(), ms*time.Duration(random.IntN(50)), ms*time.Duration(random.IntN(50)))
			s.Attributes = []attribute.KeyValue{errorType(name())}
			s.Status.Code = codes.Code(random.IntN(3))
			if random.IntN(5) == 0 {
				s.EndTime = time.Time{}
			}
			if random.IntN(5) == 0 {
				s.Links = []sdktrace.Link{{SpanContext: spans[random.IntN(i+1)].SpanContext}}
			}
			spans[i] = s
		}
		width := 20 + random.IntN(180)
		got := waterfall.Format(spans.Snapshots(), waterfall.Config{Width: width})
		checkWidth(t, got, width)
		rows := 0
		for line := range strings.Lines(got) {
			if !strings.Contains(line, "↪ ") && !strings.Contains(line, "↑ ") {
				rows++
			}
		}
		if rows != len(spans) {
			t.Errorf("%d spans have %d lines:\n%s", len(spans), rows, got)
		}
	}
}

const many = 10_000

func TestFormatManySpans(t *testing.T) {
	for _, shape := range []string{"wide", "deep"} {
		got := waterfall.Format(manySpans(t, shape), waterfall.Config{})
		if lines := strings.Count(got, "\n"); lines != many {
			t.Errorf("%s: %d spans have %d lines", shape, many, lines)
		}
		checkWidth(t, got, 100)
	}
}

func BenchmarkFormat(b *testing.B) {
	for _, shape := range []string{"wide", "deep"} {
		b.Run(shape, func(b *testing.B) {
			spans := manySpans(b, shape)
			b.ReportAllocs()
			for b.Loop() {
				waterfall.Format(spans, waterfall.Config{})
			}
		})
	}
}

// manySpans returns a span, and those below it: in a row, or each below the other.
func manySpans(t testing.TB, shape string) []sdktrace.ReadOnlySpan {
	r := newRecorder()
	ctx, root := r.tracer.Start(t.Context(), "root")
	open := []trace.Span{root}
	for range many - 1 {
		below, span := r.tracer.Start(ctx, "child")
		if shape == "deep" {
			ctx = below
		}
		open = append(open, span)
	}
	for _, span := range slices.Backward(open) {
		span.End()
	}
	return r.Ended()
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
	server := span(1, 99, "GET /orders", 0, 10*ms)
	server.SpanKind = trace.SpanKindServer
	server.Parent = server.Parent.WithRemote(true)
	evil := span(1, 0, "\x1b[2Jboo\nboo", 0, ms)
	evil.Status = sdktrace.Status{Code: codes.Error, Description: "\x1b[2J"}
	open := span(1, 0, "root", 0, 0)
	open.EndTime = time.Time{}
	other := span(2, 0, "another trace", 5*ms, 6*ms)
	other.SpanContext = other.SpanContext.WithTraceID(trace.TraceID{2})
	links := span(2, 1, "links", ms, 2*ms)
	links.Links = []sdktrace.Link{{SpanContext: other.SpanContext}, {SpanContext: span(1, 0, "", 0, 0).SpanContext}, {SpanContext: span(77, 0, "", 0, 0).SpanContext}}
	again := span(3, 1, "again", 2*ms, 3*ms)
	again.Links = links.Links[:1]
	noted := span(1, 0, "charge", 0, ms)
	noted.Status = sdktrace.Status{Code: codes.Error, Description: "lost"}
	noted.Attributes = []attribute.KeyValue{attribute.Int("shop.items", 3), attribute.Int("shop.secret", 1)}
	tests := []struct {
		name  string
		spans tracetest.SpanStubs
		want  string
	}{
		{name: "no spans"},
		{
			name:  "two roots, the later first",
			spans: tracetest.SpanStubs{span(2, 0, "second", 5*ms, 10*ms), span(1, 0, "first", 0, 5*ms)},
			want: `
first   5ms  ━━━━━━━━━━━━━╸
second  5ms               ╺━━━━━━━━━━━━━
`,
		},
		{
			name:  "a remote parent, and a child that outlives its parent",
			spans: tracetest.SpanStubs{span(3, 1, "late", 5*ms, 20*ms), span(2, 1, "early", 0, ms), server},
			want: `
GET /orders  SERVER  10ms  ──────╴
├─ early              1ms  ╸
└─ late              15ms     ╺━━━━━━━━━
`,
		},
		{
			name:  "a missing parent",
			spans: tracetest.SpanStubs{span(2, 99, "child", 0, ms)},
			want: `
child  1ms  ━━━━━━━━━━━━━━━━━━━━━━━━━━━━
↑ span 6300000000000000
`,
		},
		{
			name:  "an unfinished parent",
			spans: tracetest.SpanStubs{open, span(2, 1, "done", 2*ms, 4*ms)},
			want: `
root  unfinished    …  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄
└─ done           2ms          ╺━━━━━━━━
`,
		},
		{
			name:  "no time at all",
			spans: tracetest.SpanStubs{span(1, 0, "root", 0, 0), span(2, 1, "child", 0, 0)},
			want: `
root      0s  ╴
└─ child  0s  ╸
`,
		},
		{
			name:  "a child that starts before its parent",
			spans: tracetest.SpanStubs{span(1, 0, "root", 5*ms, 10*ms), span(2, 1, "child", 0, 5*ms)},
			want: `
root      5ms              ╶────────────
└─ child  5ms  ━━━━━━━━━━━━╸
`,
		},
		{
			name:  "an end before the start",
			spans: tracetest.SpanStubs{span(1, 0, "root", 5*ms, 0), span(2, 1, "child", 6*ms, 7*ms)},
			want: `
root      -5ms  ╴
└─ child   1ms              ━━━━━━━━━━━━
`,
		},
		{
			name:  "control characters",
			spans: tracetest.SpanStubs{evil},
			want:  "\n\uFFFD[2Jboo\uFFFDboo ✗  \uFFFD[2J  1ms  " + strings.Repeat("━", 14) + "\n",
		},
		{
			name:  "links in all directions",
			spans: tracetest.SpanStubs{span(1, 0, "root", 0, 4*ms), links, again, other},
			want: `
root [2]  4ms  ─────────────────────────
├─ links  1ms        ╺━━━━━╸
│  ↪ another trace [1]
│  ↪ root [2]
│  ↪ span 4d00000000000000  trace 01000…
└─ again  1ms              ╺━━━━━━
   ↪ another trace [1]

another trace [1]  1ms  ━━━━━━━━━━━━━━━━
`,
		},
		{
			name:  "a description, and an attribute that is asked for",
			spans: tracetest.SpanStubs{noted},
			want: `
charge ✗  lost items=3  1ms  ━━━━━━━━━━━
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := waterfall.Format(tt.spans.Snapshots(), waterfall.Config{Width: 40, Attributes: []attribute.Key{"shop.items"}})
			if got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("Format() =\n%s\nwant%s", got, tt.want)
			}
		})
	}
}

// span returns a span of trace 1.
func span(id, parent byte, name string, from, to time.Duration) tracetest.SpanStub {
	at := time.Unix(1, 0)
	return tracetest.SpanStub{
		Name:        name,
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{id}}),
		Parent:      trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{parent}}),
		StartTime:   at.Add(from),
		EndTime:     at.Add(to),
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
		if n := columns(strings.TrimSuffix(line, "\n")); n > limit {
			t.Errorf("line is %d columns wide, want at most %d: %s", n, limit, line)
		}
	}
}

// columns returns how many columns the characters of these tests take.
func columns(s string) int {
	n := utf8.RuneCountInString(s) - strings.Count(s, "\u0301")
	for _, wide := range "注文支払い🚢" {
		n += strings.Count(s, string(wide))
	}
	return n
}
