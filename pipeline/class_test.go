package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// tokens is a source of tokens that counts them.
type tokens struct{ made int }

func (s *tokens) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	s.made++
	return &oauth2.Token{AccessToken: fmt.Sprint("token ", s.made), TokenType: "Bearer"}, nil
}

// The table of error classes: what each policy makes of each of them.
func TestEveryPolicyGoesByTheClass(t *testing.T) {
	of := func(class policy.Class) error { return policy.WithClass(errTest, class) }
	status := func(code int) error { return &pipeline.StatusError{StatusCode: code} }
	const (
		failure = "failure"
		neutral = "neutral"
		success = "success"
	)
	tests := []struct {
		name    string
		err     error
		class   policy.Class
		retried bool
		once    bool   // whether a Once call is retried
		breaker string // what it is to the circuit
		refresh bool   // whether a new token is asked for, and the call made again
	}{
		{"transient", of(policy.Transient), policy.Transient, true, false, failure, false},
		{"unknown", errTest, policy.Transient, true, false, failure, false},
		{"attempt timed out", context.DeadlineExceeded, policy.Transient, true, false, failure, false},
		{"500", status(500), policy.Transient, true, false, failure, false},
		{"502", status(502), policy.Transient, true, false, failure, false},
		{"504", status(504), policy.Transient, true, false, failure, false},
		{"429", status(429), policy.Throttled, true, true, neutral, false},
		{"503 with Retry-After", of(policy.Throttled), policy.Throttled, true, false, failure, false},
		{"not sent", of(policy.NotSent), policy.NotSent, true, true, failure, false},
		{"unauthenticated", policy.ErrUnauthenticated, policy.Unauthenticated, false, false, neutral, true},
		{"401", status(http.StatusUnauthorized), policy.Unauthenticated, false, false, neutral, true},
		{"permanent", of(policy.Permanent), policy.Permanent, false, false, success, false},
		{"501", status(501), policy.Permanent, false, false, success, false},
		{"canceled", context.Canceled, policy.Canceled, false, false, neutral, false},
		{"rejected", policy.ErrRejected, policy.Rejected, false, false, neutral, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := policy.ClassOf(tt.err); got != tt.class {
					t.Errorf("class is %v, want %v", got, tt.class)
				}
				fail := func(context.Context, policy.Call) error { return tt.err }

				for _, once := range []bool{false, true} {
					calls := 0
					_ = retry.New(retry.Config{MaxAttempts: 2}).Do(t.Context(), policy.Call{Once: once}, func(context.Context, policy.Call) error {
						calls++
						return tt.err
					})
					want := tt.retried && !once || tt.once && once
					if got := calls > 1; got != want {
						t.Errorf("retried: %v, want %v (once: %v)", got, want, once)
					}
				}

				if got := toBreaker(t, fail); got != tt.breaker {
					t.Errorf("to the circuit it is a %s, want %s", got, tt.breaker)
				}

				source, calls := new(tokens), 0
				_ = auth.New(auth.Config{Source: source}).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
					calls++
					return tt.err
				})
				if got := source.made == 2 && calls == 2; got != tt.refresh {
					t.Errorf("%d tokens for %d calls, want a refresh: %v", source.made, calls, tt.refresh)
				}
			})
		})
	}
}

// toBreaker returns what the outcome of fail is to a circuit: a failure opens
// one that a single failure opens, and keeps one open that is half-open; a
// success closes that; and what is neutral does neither.
func toBreaker(t *testing.T, fail policy.Handler) string {
	t.Helper()
	p := breaker.New(breaker.Config{ConsecutiveFailures: 1, Probes: 1, OpenFor: time.Second})
	_ = p.Do(t.Context(), policy.Call{}, fail)
	if p.State("") == breaker.Open {
		return "failure"
	}
	_ = p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errors.New("opens it") })
	time.Sleep(time.Minute)
	_ = p.Do(t.Context(), policy.Call{}, fail)
	switch state := p.State(""); state {
	case breaker.Closed:
		return "success"
	case breaker.HalfOpen:
		return "neutral"
	default:
		return "failure"
	}
}
