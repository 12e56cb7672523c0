package coalesce_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestCallThatIsNotSharedAllocatesNothing(t *testing.T) {
	p, ctx := coalesce.New(coalesce.Config{}), t.Context()
	succeed := func(context.Context, policy.Call) error { return nil }
	if got := testing.AllocsPerRun(100, func() { _ = p.Do(ctx, policy.Call{}, succeed) }); got != 0 {
		t.Errorf("Do() makes %v allocations, want 0", got)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func BenchmarkDo(b *testing.B) {
	function := func(context.Context) (int, error) { return 1, nil }
	for name, config := range map[string]coalesce.Config{
		"function that is not shared": {},
		"function":                    {Key: constant},
	} {
		b.Run(name, func(b *testing.B) {
			p, ctx := pipeline.Must(pipeline.New("bench", coalesce.New(config))), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pipeline.Run(ctx, p, "bench", function); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("request", func(b *testing.B) {
		rt := pipeline.Must(pipeline.New("bench", shared())).Transport(roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
		}))
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://bench.example", http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			response, err := rt.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
}
