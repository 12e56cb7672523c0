package pipeline

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		header string
		want   time.Duration
		ok     bool
	}{
		{"", 0, false},
		{"0", 0, true},
		{"120", 2 * time.Minute, true},
		{" 7 ", 7 * time.Second, true},
		{"9223372037", maxRetryAfter, true},
		{"99999999999999999999999999", maxRetryAfter, true},
		{"-5", 0, false},
		{"1.5", 0, false},
		{"soon", 0, false},
		{in(90 * time.Second), 90 * time.Second, true},
		{in(-time.Hour), 0, true},
		{in(1000 * time.Hour), maxRetryAfter, true},
	} {
		if got, ok := parseRetryAfter(tt.header, now); got != tt.want || ok != tt.ok {
			t.Errorf("parseRetryAfter(%q) = %v, %v, want %v, %v", tt.header, got, ok, tt.want, tt.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "0", "120", "9223372037", "-1", "Mon, 23 Nov 2026 12:00:00 GMT", "Monday, 23-Nov-26 12:00:00 GMT"} {
		f.Add(seed)
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, header string) {
		got, ok := parseRetryAfter(header, now)
		if got < 0 || got > maxRetryAfter || !ok && got != 0 {
			t.Errorf("parseRetryAfter(%q) = %v, %v, want at least 0 and at most %v", header, got, ok, maxRetryAfter)
		}
		if n, err := strconv.ParseUint(header, 10, 64); err == nil && !ok {
			t.Errorf("parseRetryAfter(%q) found nothing, want %d seconds", header, n)
		}
	})
}
