package hedge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// firstHangs is an operation whose first attempt hangs, and whose hedge succeeds.
func firstHangs(ctx context.Context, call policy.Call) error {
	if call.Hedge == 0 {
		return policy.Sleep(ctx, time.Hour)
	}
	return nil
}

func TestALostHedgeIsNeutralToTheBreaker(t *testing.T) {
	for name, lost := range map[string]error{
		"says so":                nil,
		"fails in its own words": errors.New("interrupted"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				guard := breaker.New(breaker.Config{ConsecutiveFailures: 2, MinCalls: 2, FailureRatio: 0.1})
				p := pipeline.Must(pipeline.New("test", fixed(1), guard))
				for range 100 {
					if err := p.Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
						if err := firstHangs(ctx, call); err == nil || lost == nil {
							return err
						}
						return lost
					}); err != nil {
						t.Fatalf("Do() = %v, want nil", err)
					}
				}
				if got := guard.State(orders.Key); got != breaker.Closed {
					t.Errorf("circuit is %v after hedges that all succeeded, want it closed", got)
				}
			})
		})
	}
}

func TestALostHedgeGivesItsProbeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 1, Probes: 2, OpenFor: time.Second, ProbeTimeout: 24 * time.Hour})
		p := pipeline.Must(pipeline.New("test", fixed(1), guard))
		_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { return errDown })
		time.Sleep(time.Second)
		for i := range 2 { // each takes both probes, and gives one back
			if err := p.Do(t.Context(), orders, firstHangs); err != nil {
				t.Errorf("call %d: Do() = %v, want nil", i, err)
			}
		}
		if got := guard.State(orders.Key); got != breaker.Closed {
			t.Errorf("circuit is %v after two good probes, want it closed", got)
		}
	})
}

func TestAHedgeThatIsRejectedLeavesTheCallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 1, Probes: 1, OpenFor: time.Second})
		p := pipeline.Must(pipeline.New("test", fixed(1), guard))
		_ = p.Do(t.Context(), orders, func(context.Context, policy.Call) error { return errDown })
		time.Sleep(time.Second)
		took, err := timed(t.Context(), p, orders, lasting(3*after)) // the only probe
		wantCall(t, took, err, 3*after, nil)
	})
}

func TestTheBudgetNeverKillsAHedgeInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 0.1}) // a single one
		p := hedge.New(hedge.Config{Delay: after, MaxHedges: 3, Budget: budget})
		r := new(recorder)
		took, err := timed(t.Context(), p, orders.WithRecorder(r), attempts(attempt{time.Hour, nil}, attempt{time.Second, nil}))
		wantCall(t, took, err, after+time.Second, nil)
		if got, want := r.String(), "delay=100ms; hedge.started hedges=1 delay=100ms; hedge.skipped reason=budget; hedge.won winner=1; won"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}

		r = new(recorder)
		took, err = timed(t.Context(), p, orders.WithRecorder(r), attempts(attempt{time.Second, nil}))
		wantCall(t, took, err, time.Second, nil)
		if got, want := r.String(), "delay=100ms; hedge.skipped reason=budget; not_hedged"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}
	})
}

func TestHedgesAndRetriesShareTheBudget(t *testing.T) {
	const calls = 1000
	tests := []struct {
		name   string
		own    bool // whether the hedge has a budget of its own
		around func(tries, hedges policy.Policy) []policy.Policy
		most   int64
	}{
		{"retry outside", false, func(tries, hedges policy.Policy) []policy.Policy { return []policy.Policy{tries, hedges} }, calls / 10},
		{"hedge alone", false, func(_, hedges policy.Policy) []policy.Policy { return []policy.Policy{hedges} }, calls / 10},
		{"hedge alone with its own", true, func(_, hedges policy.Policy) []policy.Policy { return []policy.Policy{hedges} }, calls/5 + 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := retry.NewBudget(retry.BudgetConfig{Ratio: 0.1, MinPerSecond: 1e-6, Window: time.Hour})
				config := hedge.Config{Delay: time.Microsecond, MaxHedges: 3}
				if !tt.own {
					config.Budget = budget
				}
				tries := retry.New(retry.Config{InitialInterval: 1, MaxInterval: 1, Budget: budget})
				p := pipeline.Must(pipeline.New("test", tt.around(tries, hedge.New(config))...))
				var sends atomic.Int64
				for range calls { // all slow, all fail
					_ = p.Do(t.Context(), orders, func(ctx context.Context, _ policy.Call) error {
						sends.Add(1)
						_ = policy.Sleep(ctx, 10*time.Microsecond)
						return errDown
					})
				}
				if excess := sends.Load() - calls; excess != tt.most {
					t.Errorf("%d calls were sent %d times more, want %d", calls, excess, tt.most)
				}
			})
		})
	}
}

func TestHedgesOfARefusedTokenCauseOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(tokens)
		p := auth.New(auth.Config{Source: patient{source}})
		var sends atomic.Int32
		err := pipeline.Must(pipeline.New("test", fixed(2), p)).Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
			sends.Add(1)
			for _, value := range call.Header() {
				if value == "Bearer token1" {
					_ = policy.Sleep(ctx, 3*after) // until all are under way
					return policy.ErrUnauthenticated
				}
			}
			return policy.Sleep(ctx, after)
		})
		if err != nil || source.made.Load() != 2 {
			t.Errorf("Do() = %v with %d tokens, want nil with 2", err, source.made.Load())
		}
	})
}

// A patient source takes its time to replace a token, whoever has left.
type patient struct{ *tokens }

func (s patient) Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	if old != nil {
		time.Sleep(after)
	}
	return s.tokens.Token(ctx, old)
}

func TestNoGoroutineOutlivesAHedgedCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		p := pipeline.Must(pipeline.New("test", fixed(5), quick(2)))
		for range 100 {
			if err := p.Do(t.Context(), orders, attempts(attempt{time.Hour, nil}, attempt{after, nil}, attempt{})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // for timers that have been too late
		if got := runtime.NumGoroutine(); got > before {
			t.Errorf("%d goroutines after the calls, want the %d from before", got, before)
		}
	})
}

func TestPipelinesWithTheSameHedgeShareWhatItHasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := hedge.New(hedge.Config{})
		one := pipeline.Must(pipeline.New("one", shared))
		other := pipeline.Must(pipeline.New("other", shared))
		observe(t, one, orders, 100, time.Second)
		var sends atomic.Int32
		if err := other.Do(t.Context(), orders, func(ctx context.Context, call policy.Call) error {
			sends.Add(1)
			return firstHangs(ctx, call)
		}); err != nil || sends.Load() != 2 {
			t.Errorf("Do() = %v after %d attempts, want nil after 2", err, sends.Load())
		}
	})
}

// A hedge's failure is an answer to settle for: the client gets the response.
func TestFailuresOfAllAttemptsEndInAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sends atomic.Int32
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			n := sends.Add(1)
			if err := policy.Sleep(req.Context(), time.Duration(n)*after); err != nil {
				return nil, err
			}
			return &http.Response{StatusCode: 503, Body: io.NopCloser(strings.NewReader("busy"))}, nil
		})
		response, err := pipeline.Must(pipeline.New("test", hedge.New(hedge.Config{Delay: after / 2}))).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); response.StatusCode != 503 || string(text) != "busy" || err != nil || sends.Load() != 2 {
			t.Errorf("got %d, %q, %v after %d requests, want the answer of 503 after 2", response.StatusCode, text, err, sends.Load())
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
