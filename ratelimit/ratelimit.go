package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrExceeded matches the errors of calls that were rejected because there was
// no token for them. They also match [policy.ErrRejected], and
// [policy.RetryAfter] says when there would have been one.
var ErrExceeded = policy.WithClass(errors.New("ratelimit: rate exceeded"), policy.Rejected)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "rate limit".
	Name string `json:"name" yaml:"name"`

	// Rate is how many calls of a key may be made per second in the long run,
	// more than 0 and at most a million: 0.1 is one in ten seconds. Default: 100.
	Rate float64 `json:"rate" yaml:"rate"`

	// Burst is how many calls of a key may be made at once, after a time with
	// fewer than Rate. Default: as many as Rate allows in a second, at least 1.
	Burst int `json:"burst" yaml:"burst"`

	// MaxWait is how long a call may wait for a token, from 1 ms to 30 days.
	// Default: 0, not at all.
	MaxWait time.Duration `json:"max_wait" yaml:"max_wait"`
}

// A Policy limits how many calls are made per second. Make one with [New]. It is
// safe for concurrent use; pipelines that list the same one share its tokens.
type Policy struct {
	config  Config
	buckets buckets
}

// New returns a policy with the given configuration and all buckets full.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "rate limit")
	config.Rate = cmp.Or(config.Rate, 100)
	config.Burst = cmp.Or(config.Burst, int(max(1, min(config.Rate, most))))
	return &Policy{config: config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "rate limit".
func (p *Policy) Type() string { return "rate limit" }

// Validate reports all that is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	if !(c.Rate > 0 && c.Rate <= most) {
		errs = append(errs, fmt.Errorf("invalid Rate %v: want more than 0 and at most %d per second", c.Rate, most))
	}
	if c.Burst < 1 || c.Burst > most {
		errs = append(errs, fmt.Errorf("invalid Burst %d: want 1 to %d", c.Burst, most))
	}
	if c.MaxWait != 0 && (c.MaxWait < minWait || c.MaxWait > maxWait) {
		errs = append(errs, fmt.Errorf("invalid MaxWait %v: want 0 or %v to %v", c.MaxWait, minWait, maxWait))
	}
	return errors.Join(errs...)
}

// What is beyond these is a number whose unit was mistaken.
const (
	most    = 1_000_000
	minWait = time.Millisecond
	maxWait = 30 * 24 * time.Hour
)

// Do implements [policy.Policy]. It returns what next returns. If there is no
// token for the call, next is not called, and the error matches [ErrExceeded]. If
// the caller has left before there is one, the error is the context's cause.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	outcome, err := p.take(ctx, call)
	call.Outcome(ctx, outcome)
	if err != nil {
		return err
	}
	return next(ctx, call)
}

// The outcomes of calls.
const (
	admitted = "admitted"
	waited   = "waited" // and then admitted
	rejected = "rejected"
	canceled = "canceled" // before it got a token
)

// take takes a token for the call, and says how it went.
func (p *Policy) take(ctx context.Context, call policy.Call) (outcome string, err error) {
	if ctx.Err() != nil {
		return canceled, context.Cause(ctx)
	}
	b, w, delay := p.buckets.take(ctx, call.Key, &p.config)
	switch {
	case delay == 0:
		return admitted, nil
	case w == nil:
		return rejected, p.reject(ctx, call, delay, nil)
	case p.wait(ctx, call, b, w, delay):
		return waited, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return canceled, context.Cause(ctx)
	default:
		return rejected, p.reject(ctx, call, 0, context.Cause(ctx))
	}
}

// wait waits at b for the turn of w, which is due after delay, and reports
// whether it came.
func (p *Policy) wait(ctx context.Context, call policy.Call, b *bucket, w *waiter, delay time.Duration) bool {
	came := false
	defer func() { b.leave(w, came) }() // even if who listens panics
	ctx, end := call.Step(ctx, "rate limit wait", slog.Duration("delay", delay), slog.Float64("rate", p.config.Rate))
	came = w.wait(ctx)
	end(nil)
	return came
}

// reject tells that the call is rejected and returns the error for it. There
// would have been a token after retryIn, if that is not 0.
func (p *Policy) reject(ctx context.Context, call policy.Call, retryIn time.Duration, cause error) error {
	e := &exceededError{config: &p.config, key: call.Key, retryIn: retryIn, cause: cause}
	attrs := [...]slog.Attr{slog.Float64("rate", p.config.Rate), slog.String("reason", e.reason()), {}}
	if retryIn > 0 {
		attrs[2] = slog.Duration("retry_in", retryIn)
	}
	call.Emit(ctx, "ratelimit.rejected", attrs[:]...)
	return e
}

// Gauges returns how many calls wait, of all keys together, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		yield(policy.Gauge{Name: "waiting", Unit: "{call}", Value: float64(p.buckets.waiting())})
	}
}
