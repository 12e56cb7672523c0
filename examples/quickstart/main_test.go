package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, 6, false); err != nil {
		t.Fatalf("run() = %v after\n%s", err, &out)
	}
	// In this order, each below the other.
	rest := out.String()
	for _, want := range []string{
		"orders: total → retry → breaker → auth → attempt",
		" 1. ", "200 OK", "GetOrder ", "token refresh: missing", "POST",
		" 2. ", "200 OK",
		" 3. ", "200 OK", "retry: recovered", "GET ✗  CLIENT 503", "backoff after 503",
		" 4. ", "200 OK", "GET ✗  CLIENT connection_reset",
		" 5. ", "200 OK", "timeout: exceeded ✗",
		" 6. ", "200 OK", "GET ✗  CLIENT 401", "token refresh: after 401", "GET  CLIENT 200 resend=1",
		"requests", "6 succeeded, 0 failed", "sends", "10", "retries", "3", "token refreshes", "2",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("no %q in\n%s\nwhich is the rest of\n%s", want, rest, &out)
		}
		rest = after
	}
}

func TestTracesAreSentOn(t *testing.T) {
	var mu sync.Mutex
	var got []byte
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.URL.Path+"\n"+string(body)...)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	if err := run(t.Context(), io.Discard, 1, true); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", "quickstart", "GetOrder", "token refresh: missing", "POST"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("collector got no %q", want)
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	if err := run(t.Context(), new(bytes.Buffer), 0, true); err == nil || !strings.Contains(err.Error(), "-requests 0") {
		t.Errorf("run() = %v, want an error that names the flag", err)
	}
}

func TestUnexpectedEndsAreReported(t *testing.T) {
	good, bad := result{status: "200 OK"}, result{status: "503 Service Unavailable"}
	for _, tt := range []struct {
		result result
		scene  scene
		ok     bool
	}{
		{good, scene{}, true},
		{bad, scene{}, false},
		{good, scene{fails: true}, false},
		{bad, scene{fails: true}, true},
	} {
		var c counter
		c.add(tt.result, tt.scene)
		if err := c.report(new(bytes.Buffer), 1, 1); (err == nil) != tt.ok {
			t.Errorf("report() = %v of %v where failure is expected: %v", err, tt.result, tt.scene.fails)
		}
	}
}
