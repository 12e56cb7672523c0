// Package retry provides a policy that tries a failed call again, after a
// delay that grows exponentially and is spread by jitter.
//
//	p := pipeline.Must(pipeline.New("users", retry.New(retry.Config{MaxAttempts: 4})))
//
// Whether a failure is worth another attempt follows from its class, see
// [policy.ClassOf]: transient, throttled and unsent calls are tried again, and
// Once calls only if the failed attempt certainly took no effect. A server's
// Retry-After is waited for, with jitter on top. No wait begins that would
// outlast the deadline of the call, nor one after which half of the attempts would
// be too slow to meet it, once the policy has seen 20 of those of calls with the
// same name and key that have deadlines: a sample of the first attempts, and all others.
//
// A [Budget] bounds the retries of all calls together. It is what stops a
// retrying client from keeping down a server that struggles.
package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/latency"
	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrExhausted matches the errors of calls whose last allowed attempt failed:
// those of Reason [ReasonAttempts].
var ErrExhausted = errors.New("retry: attempts exhausted")

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "retry".
	Name string `json:"name" yaml:"name"`

	// MaxAttempts is how often a call is tried in all, the first attempt
	// included; 1 means that it is not retried. Default: 3.
	MaxAttempts int `json:"max_attempts" yaml:"max_attempts"`

	// InitialInterval is what the delay before the second attempt is drawn
	// from; see Jitter. Default: 100 ms, or MaxInterval if that is shorter.
	InitialInterval time.Duration `json:"initial_interval" yaml:"initial_interval"`

	// MaxInterval is what no delay exceeds, unless the server asks for more by
	// Retry-After; at most 24 h. Default: 5 s, or InitialInterval if that is longer.
	MaxInterval time.Duration `json:"max_interval" yaml:"max_interval"`

	// Multiplier is what the interval grows by with each attempt. Default: 2.
	Multiplier float64 `json:"multiplier" yaml:"multiplier"`

	// Jitter says how a delay is drawn from its interval, so that clients that
	// failed together do not come back together. Default: FullJitter.
	Jitter Jitter `json:"jitter" yaml:"jitter"`

	// ThrottledInterval takes the place of InitialInterval after failures of
	// class [policy.Throttled]. Default: 1 s, or MaxInterval if that is shorter.
	ThrottledInterval time.Duration `json:"throttled_interval" yaml:"throttled_interval"`

	// Budget bounds the retries of all calls that share it. Default: one of
	// the policy's own, NewBudget(BudgetConfig{}). See also [Unlimited].
	Budget *Budget `json:"-" yaml:"-"`

	// If reports whether a failure is worth another attempt. Default: the
	// class of err decides. Either way, a Once call is repeated only if
	// [policy.NoEffect] holds, and no call after [policy.Final].
	If func(err error) bool `json:"-" yaml:"-"`
}

// A Policy retries failed calls. Make one with [New]. It is safe for
// concurrent use.
type Policy struct {
	config    Config
	latencies latency.Table         // of attempts
	refusal   atomic.Pointer[Error] // the last one, which often comes again
}

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "retry")
	config.MaxAttempts = cmp.Or(config.MaxAttempts, 3)
	capped := func(d time.Duration) time.Duration {
		if config.MaxInterval > 0 {
			d = min(d, config.MaxInterval)
		}
		return d
	}
	config.InitialInterval = cmp.Or(config.InitialInterval, capped(100*time.Millisecond))
	config.MaxInterval = cmp.Or(config.MaxInterval, max(5*time.Second, config.InitialInterval))
	config.Multiplier = cmp.Or(config.Multiplier, 2)
	config.ThrottledInterval = cmp.Or(config.ThrottledInterval, capped(time.Second))
	if config.Budget == nil {
		config.Budget = NewBudget(BudgetConfig{})
	}
	return &Policy{config: config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "retry".
func (p *Policy) Type() string { return "retry" }

// MaxAttempts returns how often a call is tried in all, at most. A pipeline asks for
// its warnings.
func (p *Policy) MaxAttempts() int { return p.config.MaxAttempts }

// Validate reports everything that is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	complain := func(ok bool, field string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("invalid %s %v: want %s", field, value, want))
		}
	}
	complain(c.MaxAttempts >= 1, "MaxAttempts", c.MaxAttempts, "at least 1")
	complain(c.InitialInterval > 0, "InitialInterval", c.InitialInterval, "more than 0")
	complain(c.MaxInterval >= c.InitialInterval && c.MaxInterval <= maxInterval, "MaxInterval", c.MaxInterval, fmt.Sprintf("at least InitialInterval, %v, and at most %v", c.InitialInterval, maxInterval))
	complain(c.ThrottledInterval > 0 && c.ThrottledInterval <= c.MaxInterval, "ThrottledInterval", c.ThrottledInterval, fmt.Sprintf("more than 0 and at most MaxInterval, %v", c.MaxInterval))
	complain(c.Multiplier >= 1 && !math.IsInf(c.Multiplier, 1), "Multiplier", c.Multiplier, "a finite number of at least 1")
	complain(c.Jitter.valid(), "Jitter", int(c.Jitter), "FullJitter, EqualJitter, DecorrelatedJitter or NoJitter")
	return errors.Join(append(errs, c.Budget.Validate())...)
}

var errNotMade = errors.New("retry: not usable: want a Policy made with New")

// maxInterval is what a delay between attempts never needs to exceed.
const maxInterval = 24 * time.Hour

// Do implements [policy.Policy]. If it gives up, its error is an [*Error] that
// wraps the last attempt's.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	call.Attempt = 1
	var err error
	if samples(ctx) {
		err = p.attempt(ctx, call, next)
	} else {
		err = next(ctx, call)
	}
	switch {
	case err == nil:
		p.config.Budget.Deposit()
		call.Outcome(ctx, "success")
		return nil
	case p.config.If == nil && ctx.Err() == nil && policy.ClassOf(err) == policy.Rejected:
		return p.refused(ctx, call, err)
	default:
		p.config.Budget.Deposit()
		return p.again(ctx, call, next, err)
	}
}

// refused ends a call whose first attempt was refused by a policy, with err. That earns no
// retries, and as one refusal is much like the other, so is what is told of it.
func (p *Policy) refused(ctx context.Context, call policy.Call, err error) error {
	story := p.refusal.Load()
	if story == nil || reflect.TypeOf(err).Kind() != reflect.Pointer || story.Err != err { //nolint:errorlint // The very same.
		story = &Error{Attempts: 1, Reason: ReasonClass, Err: err, noEffect: policy.NoEffect(err)}
		p.refusal.Store(story)
	}
	if call.Recorder() != nil {
		story.tell(ctx, call)
		p.note(ctx, call, story, ReasonClass)
	}
	return story
}

// again carries on after the first attempt has failed with err.
func (p *Policy) again(ctx context.Context, call policy.Call, next policy.Handler, err error) error {
	story := &Error{Attempts: 1, Err: err, noEffect: policy.NoEffect(err)}
	reason := p.repeat(ctx, call, next, story)
	call.Attempt = story.Attempts
	if reason == "" {
		call.Emit(ctx, "retry.recovered", slog.Int("attempts", call.Attempt))
	} else {
		story.giveUp(ctx, call, reason)
	}
	p.note(ctx, call, story, reason)
	if reason == "" {
		return nil
	}
	return story
}

// note says what is known of a call that did not succeed at once.
func (p *Policy) note(ctx context.Context, call policy.Call, story *Error, reason Reason) {
	call.Note(ctx, slog.Int("max_attempts", p.config.MaxAttempts))
	call.Note(ctx, slog.Duration("delay.total", story.waited))
	call.Outcome(ctx, outcomes[reason])
}

// repeat makes attempts until one succeeds, or there is a reason to stop.
func (p *Policy) repeat(ctx context.Context, call policy.Call, next policy.Handler, story *Error) Reason {
	intervals := p.config.intervals()
	for err := story.Err; err != nil; {
		class := policy.ClassOf(err)
		if reason := p.reasonToStop(ctx, call, err, class); reason != "" {
			return reason
		}
		delay, source := intervals.next(err, class)
		if !p.fits(ctx, call, delay) {
			return ReasonDeadline
		}
		slot, ok := p.config.Budget.withdraw()
		if !ok {
			return ReasonBudget
		}
		if end := story.wait(ctx, call, delay, source, err); end != nil {
			p.config.Budget.refund(slot)
			story.end = end
			return ended(ctx)
		}
		call.Attempt++
		story.Attempts++
		if err = p.attempt(ctx, call, next); err != nil {
			story.add(ctx, err)
		}
	}
	return ""
}

// outcomes says how calls end, by the reason why they were not tried again.
var outcomes = map[Reason]string{
	"":             "recovered",
	ReasonAttempts: "exhausted",
	ReasonDeadline: "deadline",
	ReasonBudget:   "budget_exhausted",
	ReasonClass:    "not_retryable",
	ReasonOnce:     "not_retryable",
	ReasonCanceled: "canceled",
}

// reasonToStop returns why a call that failed with err is not tried again, or
// "" if it may be.
func (p *Policy) reasonToStop(ctx context.Context, call policy.Call, err error, class policy.Class) Reason {
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case !p.retryable(err, class):
		return ReasonClass
	case policy.Final(err), call.Once && !policy.NoEffect(err):
		return ReasonOnce
	case call.Attempt >= p.config.MaxAttempts:
		return ReasonAttempts
	default:
		return ""
	}
}

func (p *Policy) retryable(err error, class policy.Class) bool {
	if p.config.If != nil {
		return p.config.If(err)
	}
	switch class {
	case policy.Transient, policy.Throttled, policy.NotSent:
		return true
	default:
		return false
	}
}

// ended returns the reason to stop once ctx has ended.
func ended(ctx context.Context) Reason {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ReasonDeadline
	}
	return ReasonCanceled
}
