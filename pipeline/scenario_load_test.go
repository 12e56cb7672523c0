package pipeline_test

import (
	"context"
	"slices"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/throttle"
)

// loadScenarios are those of servers that are given too much.
var loadScenarios = []scenario{
	{"throttle", func(s *stage) {
		s.set(throttle.New(throttle.Config{Name: "api"}))
		s.get(ok)
		s.get(replied(503))
		s.leave(10 * time.Millisecond)
	}},
	{"throttle-overloaded", func(s *stage) {
		for !s.has("throttle.rejected") { // as it is, but for one in a thousand times
			p := throttle.New(throttle.Config{MinCalls: 1000})
			s.set(steady(2), p)
			s.busy(p, 0, 1000)
			s.get(ok)
		}
	}},
	{"throttle-recovering", func(s *stage) {
		for first := true; first || s.has("throttle.rejected"); first = false { // as seldom
			p := throttle.New(throttle.Config{MinCalls: 1000})
			s.set(p)
			s.busy(p, 499, 501)
			s.get(ok)
		}
	}},
	{"throttle-in-shadow", func(s *stage) {
		for !s.has("throttle.would_have_rejected") {
			p := throttle.New(throttle.Config{MinCalls: 1000})
			s.set(policy.Shadow(p))
			s.busy(p, 0, 1000)
			s.get(ok)
		}
	}},
	{"limit", func(s *stage) {
		s.set(steady(2), limit.New(limit.Config{Name: "api", Max: 1}))
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) }) // is one too many
		s.get(ok)
		s.get(replied(429, "Retry-After: 0"), ok)
		s.leave(10 * time.Millisecond)
	}},
	{"limit-in-shadow", func(s *stage) {
		s.set(policy.Shadow(limit.New(limit.Config{Max: 1})))
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) }) // would have been one too many
		s.get(ok)
		time.Sleep(time.Second)
	}},
	{"bulkhead-in-shadow", func(s *stage) {
		s.set(policy.Shadow(bulkhead.New(bulkhead.Config{Slots: 1})))
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) })
		s.get(ok)
		time.Sleep(time.Second)
	}},
	{"rate-limit-in-shadow", func(s *stage) {
		s.set(policy.Shadow(ratelimit.New(ratelimit.Config{Rate: 10, Burst: 1})))
		s.get(ok)
		s.get(ok)
	}},
}

// busy has p see calls that are accepted, and others that are refused.
func (s *stage) busy(p policy.Policy, accepted, refused int) {
	call := policy.Call{Key: "https://api.example.com"}
	for i := range accepted + refused {
		_ = p.Do(s.Context(), call, func(context.Context, policy.Call) error {
			if i < accepted {
				return nil
			}
			return errTest
		})
	}
}

// has reports whether there was an event of that name.
func (s *stage) has(name string) bool {
	return slices.ContainsFunc(s.events, func(event policy.Event) bool { return event.Name == name })
}
