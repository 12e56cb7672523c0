package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/chaos"
	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// answerScenarios are those of calls that have their answer from elsewhere.
var answerScenarios = []scenario{
	{"fallback", func(s *stage) {
		s.set(fallback.New(fallback.Config{Name: "sorry", To: fallback.Response(200, "text/plain", "canary")}), steady(2))
		s.get(ok)
		s.get(cutOff)
		s.get(replied(401)) // is not replaced
	}},
	{"fallback-failed", func(s *stage) {
		s.set(fallback.New(fallback.Config{To: fallback.Func(func(context.Context, policy.Call, error) (*http.Response, error) {
			return nil, errors.New("canary")
		})}))
		s.get(replied(500))
	}},
	{"chaos", func(s *stage) {
		s.set(steady(2), chaos.New(chaos.Config{Name: "drill", Enabled: true, Seed: 23, Faults: []chaos.Fault{
			{Rate: 0.2, Status: 503},
			{Rate: 0.2, Err: io.ErrUnexpectedEOF},
			{Rate: 0.2, Latency: time.Second},
			{Rate: 0.2, Outcome: func(context.Context, policy.Call) error { return errors.New("canary") }},
		}}))
		for range 3 {
			s.get(ok)
		}
	}},
	{"coalesce", func(s *stage) {
		s.set(coalesce.New(coalesce.Config{Name: "catalog"}), steady(2))
		s.ask(3, cutOff, ok)
		s.send(s.Context(), http.MethodPost, ok) // is not shared
	}},
	{"coalesce-failed", func(s *stage) {
		s.set(coalesce.New(coalesce.Config{}))
		s.ask(2, cutOff)
	}},
	{"coalesce-parted", func(s *stage) {
		for s.spans == nil || !s.ended("coalesce") { // until the first call gets what only one can have
			s.set(coalesce.New(coalesce.Config{MaxBytes: 1}))
			s.ask(2, long)
		}
	}},
}

// long is a reply with a body.
func long(req *http.Request) (*http.Response, error) {
	response, err := ok(req)
	response.Body = io.NopCloser(strings.NewReader("canary"))
	return response, err
}

// ended reports whether a span of that name has ended.
func (s *stage) ended(name string) bool {
	return slices.ContainsFunc(s.spans.Ended(), func(span sdktrace.ReadOnlySpan) bool { return span.Name() == name })
}

// ask has several identical requests made, 10 ms apart.
func (s *stage) ask(times int, replies ...reply) {
	transport := s.p.Transport(&script{replies: replies})
	var all sync.WaitGroup
	for i := range times {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Millisecond)
			req := request(s, http.MethodGet, "https://user:canary@api.example.com/orders/7?key=canary", nil)
			response, err := transport.RoundTrip(req.WithContext(pipeline.WithCallName(s.Context(), "GetOrder")))
			if err == nil {
				_ = response.Body.Close()
			}
		})
	}
	all.Wait()
}
