// Package fallback provides a policy that answers calls that have failed in
// another way: with a value, by a function, from elsewhere.
//
//	p := pipeline.Must(pipeline.New("prices",
//		fallback.New(fallback.Config{To: fallback.Func(lastKnown)}),
//		retry.New(retry.Config{}),
//		breaker.New(breaker.Config{}),
//	))
//
// It belongs outside of the policies whose failures it replaces, and mostly
// comes first. The caller cannot tell such an answer from the operation's own; the
// trace and the metrics can.
//
// Whether a failure is replaced follows from its class, see [policy.ClassOf]:
// those that are [policy.Transient], [policy.Throttled], [policy.NotSent] or
// [policy.Rejected] are. [policy.Permanent] ones are not, as they are an answer, nor
// [policy.Unauthenticated] ones, as what is for those who are let in must not go to
// those who are not.
//
// # Events
//
// The policy emits, see [policy.Call.Emit]:
//
//   - fallback.used with reason, the type of the error that was replaced,
//   - fallback.failed with reason, and with failure, the type of the fallback's
//     own error.
//
// The outcomes of its calls are success, used, failed, and passed for failures
// that were passed on.
package fallback

import (
	"cmp"
	"context"
	"errors"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Config configures a [Policy]. To is required.
type Config struct {
	// Name identifies the policy. Default: "fallback".
	Name string `json:"name" yaml:"name"`

	// To is what answers in place of the operation: [Value], [Func], [Response],
	// or a function of your own.
	To Handler `json:"-" yaml:"-"`

	// If reports whether a failure is to be replaced. It is not asked if the
	// caller has left. It must be safe for concurrent use. Default: the class of
	// the error decides, see the package's documentation.
	If func(error) bool `json:"-" yaml:"-"`
}

// A Policy answers calls that have failed. Make one with [New]. It is safe for
// concurrent use.
type Policy struct {
	config Config
}

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "fallback")
	if config.If == nil {
		config.If = replaceable
	}
	return &Policy{config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "fallback".
func (p *Policy) Type() string { return "fallback" }

// Validate reports what is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	switch {
	case p.config.Name == "":
		return errNotMade
	case p.config.To == nil:
		return errNoHandler
	default:
		return nil
	}
}

var (
	errNotMade   = policy.WithClass(errors.New("fallback: not usable: want a Policy made with New"), policy.Permanent)
	errNoHandler = policy.WithClass(errors.New("invalid To nil: want Value, Func, Response or a function of your own"), policy.Permanent)
)

// Do implements [policy.Policy]. If the fallback fails, too, the error wraps both
// its own and the one that it was to replace, and has the class of the latter. A
// call whose caller has canceled it is not answered, but one whose deadline has
// passed is: somebody may wait for the answer still, and a [Func] that needs time
// sees by the context that there is none.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if err := p.Validate(); err != nil {
		return err
	}
	err := next(ctx, call)
	switch {
	case err == nil:
		call.Outcome(ctx, "success")
		return nil
	case errors.Is(ctx.Err(), context.Canceled), !p.config.If(err):
		call.Outcome(ctx, "passed")
		return err
	default:
		return p.replace(ctx, call, err)
	}
}

// replace answers a call that has failed with err.
func (p *Policy) replace(ctx context.Context, call policy.Call, err error) error {
	failure := p.config.To(ctx, call, err)
	reason := slog.String("reason", policy.ErrorType(err))
	switch {
	case failure == nil:
		call.Outcome(ctx, "used")
		call.Emit(ctx, "fallback.used", reason)
		return nil
	case wraps(failure, err):
		call.Outcome(ctx, "passed")
		return failure
	case errors.Is(ctx.Err(), context.Canceled):
		call.Outcome(ctx, "passed")
		return &failedError{err, failure}
	default:
		call.Outcome(ctx, "failed")
		call.Emit(ctx, "fallback.failed", reason, slog.String("failure", policy.ErrorType(failure)))
		return &failedError{err, failure}
	}
}

func replaceable(err error) bool {
	switch policy.ClassOf(err) {
	case policy.Transient, policy.Throttled, policy.NotSent, policy.Rejected:
		return true
	default:
		return false
	}
}

// wraps is errors.Is(err, target) for errors whose types may not be comparable.
func wraps(err, target error) (ok bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}
