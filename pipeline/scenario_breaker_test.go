package pipeline_test

import (
	"context"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
)

// brittle returns a circuit breaker that opens after two failures in a row, for
// a second, after which one probe decides.
func brittle() *breaker.Policy {
	return breaker.New(breaker.Config{ConsecutiveFailures: 2, Probes: 1, OpenFor: time.Second, MaxOpenFor: time.Second})
}

var breakerScenarios = []scenario{
	{"circuit", func(s *stage) {
		s.set(brittle())
		s.get(replied(500))
		s.get(cutOff) // opens it
		s.get(ok)     // is rejected, as are others until it probes
		time.Sleep(5 * time.Second)
		s.get(replied(500)) // opens it again
		s.get(ok)
		time.Sleep(5 * time.Second)
		s.get(ok) // closes it
		s.get(ok)
	}},
	{"circuit-in-retry", func(s *stage) {
		s.set(steady(5), brittle())
		s.get(replied(500))
	}},
	{"circuit-half-open", func(s *stage) {
		s.set(brittle())
		s.get(replied(500))
		s.get(replied(500))
		time.Sleep(5 * time.Second)
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) })
		s.get(ok) // probes meanwhile
	}},
	{"circuit-failure-ratio", func(s *stage) {
		s.set(breaker.New(breaker.Config{MinCalls: 2}))
		s.get(ok)
		s.get(replied(500))
	}},
	{"circuit-slow-ratio", func(s *stage) {
		s.set(breaker.New(breaker.Config{MinCalls: 2, SlowCall: 30 * time.Millisecond}))
		s.get(ok)
		s.get(ok)
	}},
	{"circuit-ignores", func(s *stage) {
		s.set(brittle())
		s.get(replied(429))
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		s.send(ctx, "GET", hanging)
	}},
	{"circuit-in-shadow", func(s *stage) {
		s.set(policy.Shadow(brittle()))
		s.get(replied(500))
		s.get(replied(500)) // opens it
		s.get(replied(500)) // is not rejected, though it would have been
		s.get(ok)
		time.Sleep(5 * time.Second)
		s.get(ok) // closes it
	}},
	{"circuit-forced", func(s *stage) {
		b := brittle()
		s.set(b)
		b.ForceOpen("https://api.example.com")
		s.get(ok)
		b.ForceClosed("https://api.example.com")
		s.get(ok)
	}},
}
