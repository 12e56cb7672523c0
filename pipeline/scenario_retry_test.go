package pipeline_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

var retryScenarios = []scenario{
	{"succeeded", func(s *stage) {
		s.set(steady(4), timeout.New(timeout.Config{}))
		s.get(ok)
		s.get(replied(404)) // is an answer
	}},
	{"recovered", func(s *stage) {
		s.set(steady(4), timeout.New(timeout.Config{Limit: 770 * time.Millisecond}))
		s.get(replied(500), unavailable, hanging, ok)
	}},
	{"recovered-retry-after", func(s *stage) {
		s.set(steady(2))
		s.get(replied(503, "Retry-After: 3"), ok)
	}},
	{"exhausted", func(s *stage) {
		s.set(steady(4), timeout.New(timeout.Config{}))
		s.get(cutOff)
	}},
	{"aborted-deadline", func(s *stage) {
		s.set(steady(4))
		ctx, cancel := context.WithTimeout(s.Context(), 500*time.Millisecond)
		defer cancel()
		s.send(ctx, "GET", replied(500), unavailable)
	}},
	{"aborted-budget", func(s *stage) {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: 0.01, MinPerSecond: 0.1})
		s.set(retry.New(retry.Config{Jitter: retry.NoJitter, Budget: budget}))
		s.get(replied(500))
	}},
	{"aborted-class", func(s *stage) {
		s.set(steady(4))
		s.get(replied(501))
	}},
	{"aborted-once", func(s *stage) {
		s.set(steady(4))
		s.send(s.Context(), "POST", replied(500))
	}},
	{"aborted-canceled", func(s *stage) {
		s.set(steady(4), timeout.New(timeout.Config{}))
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(80*time.Millisecond, cancel)
		s.send(ctx, "GET", replied(500)) // while it waits
		ctx, cancel = context.WithCancel(s.Context())
		time.AfterFunc(80*time.Millisecond, cancel)
		s.send(ctx, "GET", hanging) // while it is sent
	}},
	{"timeouts", func(s *stage) {
		s.set(timeout.New(timeout.Config{Name: "total", Limit: time.Second}), steady(4), timeout.New(timeout.Config{Name: "attempt", Limit: 400 * time.Millisecond}))
		s.get(hanging)
	}},
	{"timeout-around-retry", func(s *stage) {
		s.set(timeout.New(timeout.Config{Limit: time.Second}), steady(2))
		s.get(hanging)
	}},
	{"failures", func(s *stage) {
		s.set(steady(2))
		for _, failure := range []reply{
			failed(&net.DNSError{Err: "no such host", Name: "canary"}),
			failed(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
			failed(syscall.ECONNRESET),
			failed(x509.UnknownAuthorityError{}),
			failed(errTest),
			replied(429),
		} {
			s.get(failure, ok)
		}
		s.send(s.Context(), "REPORT", ok)
	}},
}

// otherScenarios are those of the pipeline itself.
var otherScenarios = []scenario{
	{"named", func(s *stage) {
		s.set(retry.New(retry.Config{Name: "orders-retry"}), breaker.New(breaker.Config{Name: "orders-breaker"}), timeout.New(timeout.Config{Name: "attempt"}))
		s.get(ok)
	}},
	{"panic", func(s *stage) {
		s.set(steady(2), brittle(), timeout.New(timeout.Config{}))
		defer func() { _ = recover() }()
		s.get(func(*http.Request) (*http.Response, error) { panic("canary") })
	}},
	{"own-policy", func(s *stage) {
		s.set(policy.New("bulkhead", func(ctx context.Context, call policy.Call, _ policy.Handler) error {
			call.Emit(ctx, "bulkhead.rejected")
			return policy.ErrRejected
		}))
		s.get(ok)
	}},
}
