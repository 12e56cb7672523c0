package waterfall_test

import (
	"bufio"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/waterfall"
)

func TestTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tests := []struct {
		name string
		file *os.File
		env  string
		want waterfall.Config
	}{
		{"a file", file, "", waterfall.Config{}},
		{"a file for a screen", file, "COLUMNS=60", waterfall.Config{Width: 60}},
		{"a terminal", openTerminal(t), "", waterfall.Config{Color: true}},
		{"a narrow terminal", openTerminal(t), "COLUMNS=60", waterfall.Config{Width: 60, Color: true}},
		{"nonsense", openTerminal(t), "COLUMNS=many", waterfall.Config{Color: true}},
		{"no color", openTerminal(t), "NO_COLOR=1", waterfall.Config{}},
		{"a dumb terminal", openTerminal(t), "TERM=dumb", waterfall.Config{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("COLUMNS", "")
			if key, value, ok := strings.Cut(tt.env, "="); ok {
				t.Setenv(key, value)
			}
			if got := waterfall.Terminal(tt.file); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Terminal() = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestProcessorOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	t.Setenv("COLUMNS", "30")
	terminal := openTerminal(t)
	_, span := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(waterfall.New(terminal, waterfall.Config{})),
	).Tracer("test").Start(t.Context(), strings.Repeat("long", 10))
	span.SetStatus(codes.Error, "")
	span.End()

	// The terminal shows what was written to it as if somebody had typed it, and ^[
	// for the control character that colors begin with.
	line, err := bufio.NewReader(terminal).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`^(long){4,5}l?o?n?…\^\[\[31m ✗\^\[\[0m  `); !want.MatchString(line) {
		t.Errorf("printed %q, want what matches %v", line, want)
	}
}

// openTerminal opens a new terminal whose size is not known.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("this system has no pseudoterminals of this kind: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}
