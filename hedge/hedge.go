package hedge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/latency"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "hedge".
	Name string `json:"name" yaml:"name"`

	// Delay is how long there may be no answer before a hedge is sent, from 1 µs
	// to 1 h. With Quantile it is the least that the delay is, and what it is until
	// enough calls have been seen. Default: Quantile decides alone.
	Delay time.Duration `json:"delay" yaml:"delay"`

	// Quantile has the delay be what this share of the calls takes at most, as
	// observed; from 0.5 to 0.99. Default: 0.95, or none if Delay is set.
	Quantile float64 `json:"quantile" yaml:"quantile"`

	// MaxHedges is how many hedges of a call there may be, besides the first
	// attempt, from 1 to 10. Default: 1.
	MaxHedges int `json:"max_hedges" yaml:"max_hedges"`

	// Budget bounds the hedges of all calls, together with the retries of the
	// policies that share it. A call that a retry outside of the hedge has counted is
	// not counted again; a retry inside counts each of its attempts. Default: one of the
	// policy's own, retry.NewBudget(retry.BudgetConfig{}). See also [retry.Unlimited].
	Budget *retry.Budget `json:"-" yaml:"-"`
}

// A Policy hedges calls. Make one with [New]. It is safe for concurrent use;
// pipelines that share one share what it has observed.
type Policy struct {
	config    Config
	shared    bool // whether the budget was given
	latencies latency.Table
}

// New returns a policy with the given configuration that has observed nothing
// yet.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "hedge")
	if config.Delay == 0 {
		config.Quantile = cmp.Or(config.Quantile, 0.95)
	}
	config.MaxHedges = cmp.Or(config.MaxHedges, 1)
	shared := config.Budget != nil
	if !shared {
		config.Budget = retry.NewBudget(retry.BudgetConfig{})
	}
	return &Policy{config: config, shared: shared}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type returns "hedge". It names the policy's spans.
func (p *Policy) Type() string { return "hedge" }

// MaxHedges returns how many hedges of a call there are at most. A pipeline asks for its
// warnings.
func (p *Policy) MaxHedges() int { return p.config.MaxHedges }

// Validate reports all that is wrong with the policy's configuration, or that
// the policy was made by other means than [New].
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	if c.Delay != 0 && (c.Delay < minDelay || c.Delay > maxDelay) {
		errs = append(errs, fmt.Errorf("invalid Delay %v: want %v to %v", c.Delay, minDelay, maxDelay))
	}
	if c.Quantile != 0 && !(c.Quantile >= 0.5 && c.Quantile <= 0.99) {
		errs = append(errs, fmt.Errorf("invalid Quantile %v: want 0.5 to 0.99", c.Quantile))
	}
	if c.MaxHedges < 1 || c.MaxHedges > 10 {
		errs = append(errs, fmt.Errorf("invalid MaxHedges %d: want 1 to 10", c.MaxHedges))
	}
	return errors.Join(append(errs, c.Budget.Validate())...)
}

var errNotMade = policy.WithClass(errors.New("hedge: not usable: want a Policy made with New"), policy.Permanent)

// What is beyond these is a number whose unit was mistaken.
const (
	minDelay = time.Microsecond
	maxDelay = time.Hour
)

// Do implements [policy.Policy]. It returns the first answer of the call's
// attempts, and no error of its own. When it returns, all of them have ended. If a
// hedge panics or calls [runtime.Goexit], so does Do, when they have.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	p.deposit(call)
	if call.Once {
		call.Note(ctx, slog.String("reason", "once"))
		defer call.Outcome(ctx, notHedged)
		return next(ctx, call)
	}
	l := p.latencies.Of(call.Name, call.Key)
	switch delay := p.delay(l); {
	case delay == 0:
		call.Note(ctx, slog.String("reason", "latency_unknown"))
	case !l.Fits(ctx, delay):
		call.Note(ctx, slog.String("reason", "deadline"))
	default:
		call.Note(ctx, slog.Duration("delay", delay))
		r := &race{policy: p, call: call, next: next, latency: l, delay: delay}
		return r.run(ctx)
	}
	return p.watch(ctx, call, next, l)
}

// deposit counts a call in the budget, unless the retry that makes it has: one
// call is to earn once.
func (p *Policy) deposit(call policy.Call) {
	if !p.shared || call.Attempt == 0 {
		p.config.Budget.Deposit()
	}
}

// delay returns after what time to hedge calls of the given latency, or 0 if that
// is not known yet.
func (p *Policy) delay(l *latency.Observed) time.Duration {
	if p.config.Quantile == 0 {
		return p.config.Delay
	}
	return max(p.config.Delay, l.Late())
}

// watch carries out a call without hedges.
func (p *Policy) watch(ctx context.Context, call policy.Call, next policy.Handler, l *latency.Observed) error {
	defer call.Outcome(ctx, notHedged)
	start := time.Now()
	err := next(ctx, call)
	if answers(err) {
		l.Observe(time.Since(start), p.config.Quantile)
	}
	return err
}

// The outcomes of calls.
const (
	notHedged = "not_hedged"
	won       = "won"
	lost      = "lost"
	failed    = "failed"
)

// answers reports whether an attempt that ended with err has the answer of the
// call: another one would have none that is better.
func answers(err error) bool {
	if err == nil {
		return true
	}
	class := policy.ClassOf(err)
	return class == policy.Permanent || class == policy.Unauthenticated
}
