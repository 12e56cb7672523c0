package pipeline_test

import (
	"context"
	"net/http"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// hedged returns a hedge with a short delay.
func hedged(hedges int) *hedge.Policy {
	return hedge.New(hedge.Config{Delay: 100 * time.Millisecond, MaxHedges: hedges, Budget: retry.Unlimited})
}

// late has a reply come late, unless its request is canceled.
func late(d time.Duration, r reply) reply {
	return func(req *http.Request) (*http.Response, error) {
		if err := policy.Sleep(req.Context(), d); err != nil {
			return nil, err
		}
		return r(req)
	}
}

var hedgeScenarios = []scenario{
	{"hedge-in-time", func(s *stage) {
		s.set(hedged(1))
		s.get(ok)
	}},
	{"hedge-won", func(s *stage) {
		s.set(hedged(2), breaker.New(breaker.Config{}), timeout.New(timeout.Config{}))
		s.get(hanging, hanging, ok)
	}},
	{"hedge-lost", func(s *stage) {
		s.set(hedged(1))
		s.get(late(100*time.Millisecond, ok), hanging)
	}},
	{"hedge-failed", func(s *stage) {
		s.set(steady(2), hedged(1))
		s.get(late(100*time.Millisecond, replied(500)), late(time.Second, cutOff), ok)
	}},
	{"hedge-skipped", func(s *stage) {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: 0.01, MinPerSecond: 0.1})
		s.set(hedge.New(hedge.Config{Delay: 100 * time.Millisecond, MaxHedges: 2, Budget: budget}))
		s.get(hanging, late(time.Second, ok))
		s.get(late(time.Second, ok))
	}},
	{"hedge-impossible", func(s *stage) {
		s.set(hedged(1))
		s.send(s.Context(), "POST", late(time.Second, ok))
		ctx, cancel := context.WithTimeout(s.Context(), 50*time.Millisecond)
		defer cancel()
		s.send(ctx, "GET", ok)
	}},
	{"hedge-unknown", func(s *stage) {
		s.set(hedge.New(hedge.Config{}))
		s.get(ok)
	}},
}
