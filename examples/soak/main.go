// Soak drives many callers through a full pipeline against a server on loopback that does everything
// wrong that a server can do: it resets connections, stalls, truncates bodies, sends headers that are
// none, refuses tokens, asks for less, and is slow. Callers leave when they like, operations panic,
// and somebody forces circuits open and closed all the while.
//
//	go run ./examples/soak
//	go run ./examples/soak -duration 2m
//
// Then the weather clears up, and nothing may be left of it: every call was answered once, and with
// its own answer; what must not be repeated was not; every body is closed, every connection, and
// every goroutine is gone; circuits close, and probes, slots, places and the budget are all back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/throttle"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func main() {
	duration := flag.Duration("duration", 15*time.Second, "how long the weather is bad")
	callers := flag.Int("callers", 64, "how many make calls at a time")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *duration, *callers); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// run soaks for a while, and returns an error if anything was not as promised.
func run(ctx context.Context, duration time.Duration, callers int) error {
	before := runtime.NumGoroutine()
	s, err := newStorm(callers)
	if err != nil {
		return err
	}
	s.rage(ctx, duration)
	s.calmDown()
	s.close()
	s.checkLeft(before)
	return errors.Join(s.report(os.Stdout), s.problems.err())
}

const (
	maxAttempts  = 4
	attemptLimit = 100 * time.Millisecond
	totalLimit   = time.Second
	retryBurst   = 200 // retries that the budget allows within its window in any case
)

// policies are those that calls go through, and what is forced or tested about them.
type policies struct {
	budget *retry.Budget
	guard  *breaker.Policy
	tokens *auth.Keyed
	shared *coalesce.Policy
	slots  *bulkhead.Policy
	rate   *ratelimit.Policy
	load   *throttle.Policy
	limit  *limit.Policy
}

func newPolicies(bad func() bool) policies {
	return policies{
		budget: retry.NewBudget(retry.BudgetConfig{Ratio: 0.5, MinPerSecond: retryBurst, Window: time.Second}),
		guard: breaker.New(breaker.Config{
			OpenFor: 50 * time.Millisecond, MaxOpenFor: 200 * time.Millisecond, ProbeTimeout: 200 * time.Millisecond, Window: time.Second,
		}),
		tokens: auth.NewKeyed(auth.KeyedConfig{
			Key: func(ctx context.Context, _ policy.Call) (string, error) { return tenantOf(ctx), nil },
			New: func(_ context.Context, tenant string) (auth.Config, error) {
				return auth.Config{Source: mint{tenant, bad}}, nil
			},
			MaxKeys: 8,
			IdleFor: time.Second,
		}),
		shared: coalesce.New(coalesce.Config{
			Key:      func(ctx context.Context, _ policy.Call) string { return sharedID(ctx) },
			MaxBytes: 32 << 10, // which large bodies exceed
		}),
		slots: bulkhead.New(bulkhead.Config{Slots: 24, MaxWait: attemptLimit / 2, MaxQueue: 100}),
		rate:  ratelimit.New(ratelimit.Config{Rate: 2000, MaxWait: attemptLimit / 2}),
		load:  throttle.New(throttle.Config{Window: time.Second}),
		limit: limit.New(limit.Config{Window: 100 * time.Millisecond}),
	}
}

// pipeline returns the policies in the order that the README recommends.
func (p policies) pipeline() (*pipeline.Pipeline, error) {
	return pipeline.New("soak",
		fallback.New(fallback.Config{To: fallBack, If: isOpen}),
		p.shared,
		timeout.New(timeout.Config{Name: "total", Limit: totalLimit}),
		p.retry(),
		hedge.New(hedge.Config{Delay: attemptLimit / 4, Budget: p.budget}),
		p.guard,
		p.load,
		p.tokens,
		timeout.New(timeout.Config{Name: "attempt", Limit: attemptLimit}),
		p.rate,
		p.slots,
		policy.Shadow(p.limit),
	)
}

// fallBack answers functions and requests, which tell by that what they have met.
func fallBack(ctx context.Context, call policy.Call, err error) error {
	if call.Resolve(sorry) == nil {
		return nil
	}
	return fallback.Response(http.StatusNonAuthoritativeInfo, "text/plain", sorry)(ctx, call, err)
}

const sorry = "the circuit is open"

func isOpen(err error) bool { return errors.Is(err, breaker.ErrOpen) }

func (p policies) retry() *retry.Policy {
	return retry.New(retry.Config{
		MaxAttempts: maxAttempts, InitialInterval: 5 * time.Millisecond, MaxInterval: 50 * time.Millisecond,
		ThrottledInterval: 20 * time.Millisecond, Budget: p.budget,
	})
}

// A mint is the source of a tenant's tokens. It takes its time, fails now and then while the weather
// is bad, and its tokens expire soon.
type mint struct {
	tenant string
	bad    func() bool
}

// Token implements [auth.Source].
func (m mint) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	if err := policy.Sleep(ctx, upTo(20*time.Millisecond)); err != nil {
		return nil, err
	}
	if m.bad() && chance(5) {
		return nil, errors.New("soak: the mint is out of order")
	}
	return &oauth2.Token{AccessToken: newToken(m.tenant), Expiry: time.Now().Add(time.Second)}, nil
}

// The tenant of a call is in its context.
type tenantKey struct{}

func tenantOf(ctx context.Context) string {
	tenant, _ := ctx.Value(tenantKey{}).(string)
	return tenant
}

// So is the identifier that calls have in common that may share an execution, if any.
type sharedKey struct{}

func sharedID(ctx context.Context) string {
	id, _ := ctx.Value(sharedKey{}).(string)
	return id
}
