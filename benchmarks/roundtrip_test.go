package benchmarks_test

import (
	"net/http"
	"testing"
)

// BenchmarkRoundTrip has requests answered at once, by no network at all. It is W5 of the report.
func BenchmarkRoundTrip(b *testing.B) {
	header := make(http.Header)
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: header, Body: http.NoBody}, nil
	})
	for _, l := range httpLibraries {
		b.Run(l.name, func(b *testing.B) {
			rt, req := l.create(base), newRequestTo(b, "https://api.example.com/users/7")
			b.ReportAllocs()
			for b.Loop() {
				response, err := rt.RoundTrip(req)
				if err != nil || response.StatusCode != 200 {
					b.Fatal(response, err)
				}
				_ = response.Body.Close()
			}
		})
	}
}
