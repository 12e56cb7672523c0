package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "write the golden file instead of comparing with it")

// The example starts itself, which is the test here.
func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(jobVariable)
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	if err := do(context.Background(), os.Stdout, text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A buffer is a [bytes.Buffer] that is safe for concurrent use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// output returns what run shows.
func output(t *testing.T, c config) string {
	t.Helper()
	spans.Reset()
	var out buffer
	err := run(t.Context(), &out, c)
	if t.Log(out.buf.String()); err != nil {
		t.Fatal(err)
	}
	return out.buf.String()
}

var said = regexp.MustCompile(`(?m)^ *\d+\.\d\ds  (\w+) +(.*)$`)

// stories returns what is said of each order, without what is different each time.
func stories(out string) string {
	of := make(map[string]string)
	for _, match := range said.FindAllStringSubmatch(out, -1) {
		text := regexp.MustCompile(`(payment|parcel) \d`).ReplaceAllString(match[2], "$1 N")
		of[match[1]] += "  " + text + "\n"
	}
	var all strings.Builder
	for _, o := range orders {
		fmt.Fprintf(&all, "%s: %s\n%s", o.ID, o.story, of[o.ID])
	}
	return all.String()
}

func wantStories(t *testing.T, out string) {
	t.Helper()
	const golden = "testdata/stories.golden"
	got := stories(out)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// wantInOrder checks that each of texts stands below the one before.
func wantInOrder(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		_, rest, found := strings.Cut(out, text)
		if !found {
			t.Fatalf("no %q in\n%s", text, out)
		}
		out = rest
	}
}

func TestJournal(t *testing.T) {
	c := config{journal: t.TempDir() + "/orders.db"}
	out := output(t, c)
	wantStories(t, out)
	wantInOrder(t, out,
		"what the operator sees", "figs      running    charge", "plums     waiting    charge  1", `step "charge": http status 503`, "quinces   failed",
		"The trace of figs", "flow place-order", "├─ step charge", "POST ✗  CLIENT timeout", "POST  CLIENT 200 resend=1", "└─ step ship",
		"The trace of plums", "├─ step charge ✗  503", "├─ step charge ", "└─ step ship",
		"payments  10        7     2       1",
	)

	c.crash = true // comes too late
	out = output(t, c)
	wantInOrder(t, out, "earlier runs", "apples    succeeded", "medlars   failed", "✓ payment", "payments  0 ")
	if n := strings.Count(out, "✓"); n != 5 {
		t.Errorf("%d orders have succeeded, want 5", n)
	}
}

func TestCrash(t *testing.T) {
	out := output(t, config{crash: true})
	wantInOrder(t, out,
		"figs      charge   done, but the answer gets lost", "kill -9", "is started", "earlier runs", "figs      stuck", "plums     stuck      charge  1", "quinces   failed",
		"figs      charge   the key is known: answered as before", "figs      ship     done", "figs               ✓ payment",
		"plums     charge   done", "The trace of figs", "flow place-order", "↪ span", "├─ step charge",
	)
}

// It is the same as on a journal.
func TestTemporal(t *testing.T) {
	program := os.Getenv("EVENKEEL_TEMPORAL_BIN")
	if program == "" {
		t.Skip("EVENKEEL_TEMPORAL_BIN is not set: it names the temporal CLI to test with, as tools/temporal builds it")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), program, "server", "start-dev", "--headless", "--ip", host, "--port", port, "--log-level", "never")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	awaitServer(t, address)
	wantStories(t, output(t, config{temporal: address}))
}

func awaitServer(t *testing.T, address string) {
	t.Helper()
	c, err := dialTemporal(address)
	for ; err != nil && t.Context().Err() == nil; c, err = dialTemporal(address) {
		t.Log(err)
	}
	c.Close()
}

func TestNonsenseIsRefused(t *testing.T) {
	err := run(t.Context(), t.Output(), config{journal: "orders.db", temporal: "localhost:7233"})
	if err == nil || err.Error() != "invalid -journal with -temporal: want one of them" {
		t.Errorf("run() = %v, want an error that names the flags", err)
	}
	for _, crash := range []bool{false, true} {
		if err := run(t.Context(), t.Output(), config{journal: t.TempDir(), crash: crash}); err == nil {
			t.Error("run() on a directory = nil, want an error")
		}
	}
}

func TestDamageIsReported(t *testing.T) {
	tests := []struct {
		name string
		done map[string]int
		want string
	}{
		{"nothing", nil, ""},
		{"done by earlier services", map[string]int{"charge figs": 1, "ship figs": 1}, ""},
		{"well", map[string]int{"reserve figs": 1, "charge figs": 1, "ship figs": 1}, ""},
		{"undone", map[string]int{"reserve medlars": 1, "charge medlars": 1, "refund medlars": 1, "release medlars": 1}, ""},
		{"charged twice", map[string]int{"charge figs": 2}, "charge figs: done 2 times, want once"},
		{"not shipped", map[string]int{"reserve figs": 1, "charge figs": 1}, "figs: held 1, paid 1, shipped 0, want 1 of each"},
		{"not released", map[string]int{"reserve quinces": 1}, "quinces: held 1, paid 0, shipped 0, want 0 of each"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &services{done: tt.done}
			if got := fmt.Sprint(s.check()); got != tt.want && (tt.want != "" || got != "<nil>") {
				t.Errorf("check() = %s, want %q", got, tt.want)
			}
		})
	}
}
