package pipeline_test

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

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// What other libraries get wrong where policies meet. The packages of the policies test what is
// theirs alone.

// racing returns a policy that makes n calls at a time, cancels those that have lost, and
// waits for them.
func racing(n int) policy.Policy {
	return policy.New("racing", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		errs := make(chan error, n)
		for range n {
			go func() { errs <- next(ctx, call) }()
		}
		var first error
		won := false
		for range n {
			err := <-errs
			switch {
			case err == nil:
				won = true
				cancel()
			case first == nil:
				first = err
			}
		}
		if won {
			return nil
		}
		return first
	})
}

// A sending says for the nth send of a call how long it takes and with which status it ends.
type sending func(n int64) (time.Duration, int)

// A caller makes a call through a pipeline. All bodies are closed when it returns.
type caller func(*pipeline.Pipeline, sending) error

// each runs a test for HTTP and for functions.
func each(t *testing.T, test func(*testing.T, caller)) {
	t.Helper()
	t.Run("HTTP", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(p *pipeline.Pipeline, send sending) error {
				base, sends := new(tracked), atomic.Int64{}
				response, err := p.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
					took, code := send(sends.Add(1))
					if err := policy.Sleep(req.Context(), took); err != nil {
						return nil, err
					}
					base.opened.Add(1)
					return &http.Response{StatusCode: code, Body: &trackedBody{strings.NewReader("body"), base}}, nil
				})).RoundTrip(request(t, "GET", "https://api.example.com", nil))
				if err != nil {
					base.allClosed(t)
					return err
				}
				if _, err := io.ReadAll(response.Body); err != nil {
					t.Errorf("body ended with %v, want all of it", err)
				}
				_ = response.Body.Close()
				base.allClosed(t)
				if response.StatusCode != 200 {
					return &pipeline.StatusError{StatusCode: response.StatusCode}
				}
				return nil
			})
		})
	})
	t.Run("function", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(p *pipeline.Pipeline, send sending) error {
				var sends atomic.Int64
				_, err := pipeline.Run(t.Context(), p, "test", func(ctx context.Context) (int, error) {
					took, code := send(sends.Add(1))
					if err := policy.Sleep(ctx, took); err != nil {
						return 0, err
					}
					if code != 200 {
						return 0, &pipeline.StatusError{StatusCode: code}
					}
					return code, nil
				})
				return err
			})
		})
	})
}

func TestRacesThatAreAllWonDoNotOpenTheCircuit(t *testing.T) {
	each(t, func(t *testing.T, do caller) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 1})
		p := pipeline.Must(pipeline.New("p", racing(3), guard))
		for range 50 {
			if err := do(p, func(n int64) (time.Duration, int) { return time.Duration(n) * time.Millisecond, 200 }); err != nil {
				t.Fatalf("call = %v, want nil", err)
			}
		}
		for _, key := range []string{"", "https://api.example.com"} {
			if got := guard.State(key); got != breaker.Closed {
				t.Errorf("State(%q) = %v, want %v", key, got, breaker.Closed)
			}
		}
	})
}

func TestRacesAroundAndInsideOfRetriesAreRaceFree(t *testing.T) {
	orders := map[string]func() []policy.Policy{
		"around":            func() []policy.Policy { return []policy.Policy{racing(3), tries(3)} },
		"inside":            func() []policy.Policy { return []policy.Policy{tries(3), racing(3)} },
		"around and inside": func() []policy.Policy { return []policy.Policy{racing(2), tries(3), racing(2)} },
		"with all": func() []policy.Policy {
			return []policy.Policy{racing(2), timeout.New(timeout.Config{}), tries(3), breaker.New(breaker.Config{}), racing(2), timeout.New(timeout.Config{})}
		},
	}
	for name, policies := range orders {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, do caller) {
				for round := range int64(30) {
					p := pipeline.Must(pipeline.New("p", policies()...))
					if err := do(p, func(n int64) (time.Duration, int) {
						code := 200
						if n < round%4 {
							code = 503
						}
						return time.Duration((n+round)%2) * time.Millisecond, code // some at the same time
					}); err != nil {
						t.Errorf("call = %v, want nil", err)
					}
				}
			})
		})
	}
}

// A foreign context is one that package context has to watch by a goroutine.
type foreign struct {
	context.Context
	done chan struct{} // is never closed
}

func (f foreign) Done() <-chan struct{} { return f.done }

// goroutines returns how many there are in the bubble. Other than runtime.NumGoroutine it
// counts none that are about to exit.
func goroutines() int {
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "synctest bubble")
}

// What was derived from the caller's context must be let go of while that lives on.
func TestNoGoroutineOutlivesACall(t *testing.T) {
	abroad := policy.New("abroad", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return next(foreign{ctx, make(chan struct{})}, call)
	})
	each(t, func(t *testing.T, do caller) {
		p := pipeline.Must(pipeline.New("p", abroad, timeout.New(timeout.Config{Limit: 10 * time.Second}), tries(3), breaker.New(breaker.Config{}), timeout.New(timeout.Config{Limit: time.Second})))
		before := goroutines()
		for i := range 30 {
			err := do(p, func(n int64) (time.Duration, int) {
				if n == 1 && i%3 == 0 {
					return time.Minute, 200 // times out
				}
				return time.Millisecond, 200
			})
			if err != nil {
				t.Errorf("call = %v, want nil", err)
			}
			if got := goroutines(); got > before {
				t.Fatalf("%d goroutines after %d calls, want the %d from before", got, i+1, before)
			}
		}
	})
}

func TestNestedPipelinesMultiplyTheirAttempts(t *testing.T) {
	each(t, func(t *testing.T, do caller) {
		inner := pipeline.Must(pipeline.New("inner", tries(3)))
		p := pipeline.Must(pipeline.New("outer", tries(3), inner))
		sends := int64(0)
		_ = do(p, func(n int64) (time.Duration, int) { sends = n; return 0, 500 })
		if sends != 9 {
			t.Errorf("%d attempts of 3 × 3, want 9", sends)
		}
	})
}

func TestPipelinesShareThePoliciesThatTheyList(t *testing.T) {
	each(t, func(t *testing.T, do caller) {
		guard := breaker.New(breaker.Config{ConsecutiveFailures: 3})
		one, other := pipeline.Must(pipeline.New("one", guard)), pipeline.Must(pipeline.New("other", guard))
		for range 3 {
			_ = do(one, func(int64) (time.Duration, int) { return 0, 500 })
		}
		if err := do(other, func(int64) (time.Duration, int) { return 0, 200 }); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("call through the other pipeline = %v, want %v", err, breaker.ErrOpen)
		}
	})
}

// The header's value, how long the retry waits, and with what the call ends, which may last
// for 20 seconds.
func TestRetryAfterIsWaitedForAndNeverShortened(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	tests := []struct {
		name         string
		header       func() string
		least, most  time.Duration
		wantAnswered int
	}{
		{"seconds", func() string { return "10" }, 10 * time.Second, 11 * time.Second, 200},
		{"date", func() string { return in(10 * time.Second) }, 10 * time.Second, 11 * time.Second, 200},
		{"a date that has passed", func() string { return in(-time.Hour) }, 0, 5 * time.Second, 200},
		{"later than the deadline", func() string { return "20" }, 0, 0, 503},
		{"a date after the deadline", func() string { return in(time.Hour) }, 0, 0, 503},
		{"more than a Duration holds", func() string { return "9223372037" }, 0, 0, 503},
		{"less than nothing", func() string { return "-10" }, 0, 5 * time.Second, 200},
		{"nonsense", func() string { return "soon" }, 0, 5 * time.Second, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 20 { // as jitter differs each time
				synctest.Test(t, func(t *testing.T) {
					sends := 0
					base := roundTripper(func(*http.Request) (*http.Response, error) {
						if sends++; sends > 1 {
							return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
						}
						return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {tt.header()}}, Body: http.NoBody}, nil
					})
					p := pipeline.Must(pipeline.New("p", retry.New(retry.Config{})))
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					start := time.Now()
					response, err := p.Transport(base).RoundTrip(request(t, "GET", "https://api.example.com", nil).WithContext(ctx))
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if took := time.Since(start); response.StatusCode != tt.wantAnswered || took < tt.least || took > tt.most {
						t.Errorf("got %d after %v, want %d after %v to %v", response.StatusCode, took, tt.wantAnswered, tt.least, tt.most)
					}
				})
			}
		})
	}
}

// Even of a thousand calls at a time no more than the budget is repeated, and the cause
// of each is kept.
func TestBudgetHoldsForAllCallsTogether(t *testing.T) {
	each(t, func(t *testing.T, do caller) {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: 1e-9, MinPerSecond: 1})
		p := pipeline.Must(pipeline.New("p", retry.New(retry.Config{Budget: budget})))
		var sends atomic.Int64
		ended := make(chan error)
		for range 1000 {
			go func() {
				ended <- do(p, func(int64) (time.Duration, int) { sends.Add(1); return 0, 502 })
			}()
		}
		for range 1000 {
			err := <-ended
			if status, ok := errors.AsType[*pipeline.StatusError](err); !ok || status.StatusCode != 502 {
				t.Fatalf("call = %v, want the cause, %d", err, 502)
			}
		}
		if got := sends.Load() - 1000; got != 10 {
			t.Errorf("%d retries, want the budget's 10", got)
		}
	})
}
