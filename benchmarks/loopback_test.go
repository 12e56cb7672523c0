//go:build unix

package benchmarks_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// processorTime returns how long the process has had processors work.
func processorTime(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkLoopback has a client send requests to a server in the same process, over a connection
// that is there. What counts is the time of processors that both take. It is W5 of the report, too.
func BenchmarkLoopback(b *testing.B) {
	for _, l := range httpLibraries {
		b.Run(l.name, func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, "user 7")
			}))
			defer server.Close()
			base := &http.Transport{}
			defer base.CloseIdleConnections()
			client := &http.Client{Transport: l.create(base)}
			get(b, client, server.URL)

			b.ReportAllocs()
			start := processorTime(b)
			for b.Loop() {
				get(b, client, server.URL)
			}
			b.ReportMetric(float64(processorTime(b)-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

func get(b *testing.B, client *http.Client, url string) {
	b.Helper()
	response, err := client.Do(newRequestTo(b, url))
	if err != nil {
		b.Fatal(err)
	}
	if body := drain(response); body != "user 7" {
		b.Fatalf("got %q", body)
	}
}
