package benchmarks_test

import (
	"fmt"
	"net/http"
	"testing"
)

// answering returns a network that answers at once.
func answering() http.RoundTripper {
	header := make(http.Header)
	return roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody}, nil
	})
}

// roundTrip sends a request and is done with the response.
func roundTrip(rt http.RoundTripper, req *http.Request) error {
	response, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != 200 {
		return fmt.Errorf("got %s, want 200", response.Status)
	}
	return nil
}

// BenchmarkRoundTrip has requests answered at once, by no network at all. It is W5 of the report.
func BenchmarkRoundTrip(b *testing.B) {
	for _, l := range httpLibraries {
		b.Run(l.name, func(b *testing.B) {
			rt, req := l.create(answering()), newRequestTo(b, "https://api.example.com/users/7")
			b.ReportAllocs()
			for b.Loop() {
				if err := roundTrip(rt, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
