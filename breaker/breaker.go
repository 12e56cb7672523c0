package breaker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/keyed"
	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrOpen matches the errors of calls that were rejected because the circuit is
// open, or is half-open with all probes under way. They also match
// [policy.ErrRejected], and [policy.RetryAfter] says when the next probe may
// pass, if that is known.
var ErrOpen = policy.WithClass(errors.New("breaker: circuit open"), policy.Rejected)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "breaker".
	Name string `json:"name" yaml:"name"`

	// FailureRatio is the share of failed calls within Window, more than 0 and
	// at most 1, that opens the circuit when a call fails. Default: 0.5.
	FailureRatio float64 `json:"failure_ratio" yaml:"failure_ratio"`

	// MinCalls is how many calls within Window it takes to judge by
	// FailureRatio and SlowRatio. Default: 20.
	MinCalls int `json:"min_calls" yaml:"min_calls"`

	// Window is how far back calls count for the ratios, from 10 ms. It rolls on by tenths.
	// Default: 10 seconds.
	Window time.Duration `json:"window" yaml:"window"`

	// ConsecutiveFailures is how many failures without a success in between
	// open the circuit, however slowly they come and however many calls there
	// were before. A large number leaves the decision to FailureRatio.
	// Default: 5.
	ConsecutiveFailures int `json:"consecutive_failures" yaml:"consecutive_failures"`

	// OpenFor is how long the circuit is open before probes may pass. Each time
	// that one fails it is twice as long, less a random part of up to a half so that
	// clients do not come back all at once, but never less than OpenFor.
	// Default: 5 seconds.
	OpenFor time.Duration `json:"open_for" yaml:"open_for"`

	// MaxOpenFor limits that growth. Default: 5 minutes, or OpenFor if that is
	// longer.
	MaxOpenFor time.Duration `json:"max_open_for" yaml:"max_open_for"`

	// Probes is how many calls pass while the circuit is half-open, and how
	// many of them have to succeed for it to close. Default: 3.
	Probes int `json:"probes" yaml:"probes"`

	// ProbeTimeout is how long a probe may take before another call may probe in
	// its place, so that one that hangs does not keep the circuit half-open for
	// ever. The probe itself goes on; the first of the two results counts.
	// Default: 30 seconds.
	ProbeTimeout time.Duration `json:"probe_timeout" yaml:"probe_timeout"`

	// SlowCall is from which duration on a call is slow, whether it fails or
	// not. Default: 0, no call is.
	SlowCall time.Duration `json:"slow_call" yaml:"slow_call"`

	// SlowRatio is the share of slow calls within Window, more than 0 and at
	// most 1, that opens the circuit when a call is slow. Default: 0.5.
	SlowRatio float64 `json:"slow_ratio" yaml:"slow_ratio"`

	// Failure reports whether an error counts as a failure; otherwise it counts
	// as a success. It is not asked about errors that leave the other side out
	// of it: those of class Canceled and Rejected, and those of a caller that
	// has left. It must be safe for concurrent use. Default: the error's class
	// decides, see the package's documentation.
	Failure func(error) bool `json:"-" yaml:"-"`
}

// A Policy keeps a circuit for each key and rejects the calls of those that are
// open. Make one with [New]. It is safe for concurrent use.
type Policy struct {
	config   Config
	circuits keyed.Map[circuit]
}

// New returns a policy with the given configuration and all circuits closed.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "breaker")
	config.FailureRatio = cmp.Or(config.FailureRatio, 0.5)
	config.MinCalls = cmp.Or(config.MinCalls, 20)
	config.Window = cmp.Or(config.Window, 10*time.Second)
	config.ConsecutiveFailures = cmp.Or(config.ConsecutiveFailures, 5)
	config.OpenFor = cmp.Or(config.OpenFor, 5*time.Second)
	config.MaxOpenFor = cmp.Or(config.MaxOpenFor, max(5*time.Minute, config.OpenFor))
	config.Probes = cmp.Or(config.Probes, 3)
	config.ProbeTimeout = cmp.Or(config.ProbeTimeout, 30*time.Second)
	config.SlowRatio = cmp.Or(config.SlowRatio, 0.5)
	p := &Policy{config: config}
	p.circuits.New = p.newCircuit
	p.circuits.Forget = (*circuit).forget
	return p
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type returns "breaker". It names the policy's spans.
func (p *Policy) Type() string { return "breaker" }

// ConsecutiveFailures returns how many failures in a row open a circuit. A pipeline asks
// for its warnings.
func (p *Policy) ConsecutiveFailures() int { return p.config.ConsecutiveFailures }

// Do implements [policy.Policy]. While the circuit of the call's key is open it
// rejects the call with an error that matches [ErrOpen]; otherwise it returns
// what next returns.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	c, ph := p.circuit(call.Key)
	switch {
	case ph.closed != nil:
		call.Note(ctx, stateAttr(Closed))
		return p.watch(ctx, call, next, c, ph)
	case ph.recovery != nil:
		return p.probe(ctx, call, next, c, ph)
	case ph.forced == Open:
		return reject(ctx, call, &openError{key: call.Key, state: Open}, slog.Attr{})
	default:
		call.Note(ctx, stateAttr(Closed))
		defer call.Outcome(ctx, ignored)
		return next(ctx, call)
	}
}

// watch carries out a call while the circuit is closed.
func (p *Policy) watch(ctx context.Context, call policy.Call, next policy.Handler, c *circuit, ph *phase) error {
	var v verdict
	defer func() {
		if reason := ph.closed.count(v); reason != "" {
			p.open(ctx, call, c, ph, reason)
		}
		call.Outcome(ctx, v.outcome())
	}()
	return p.carryOut(ctx, call, next, &v)
}

// probe carries out a call while the circuit is half-open, if there is room
// for another probe.
func (p *Policy) probe(ctx context.Context, call policy.Call, next policy.Handler, c *circuit, ph *phase) error {
	if time.Until(ph.recovery.until) > 0 {
		return reject(ctx, call, ph.recovery.rejection, ph.recovery.opened)
	}
	s, first := ph.recovery.admit()
	if s == nil {
		return reject(ctx, call, &openError{key: call.Key, state: HalfOpen}, ph.recovery.opened)
	}
	call.Note(ctx, stateAttr(HalfOpen))
	var v verdict
	defer func() {
		p.settle(ctx, call, c, ph, s, v)
		call.Outcome(ctx, v.outcome())
	}()
	if first {
		emitChange(ctx, call, "breaker.half_opened", Open, HalfOpen)
	}
	return p.carryOut(ctx, call, next, &v)
}

// settle ends a probe, and with it perhaps the recovery.
func (p *Policy) settle(ctx context.Context, call policy.Call, c *circuit, ph *phase, s *slot, v verdict) {
	state, counted := ph.recovery.end(s, v)
	if !counted {
		return
	}
	event := "breaker.probe_succeeded"
	switch state {
	case HalfOpen:
		if c.phase.Load() != ph {
			return
		}
	case Closed:
		if !c.phase.CompareAndSwap(ph, p.closed()) {
			return
		}
		emitChange(ctx, call, "breaker.closed", HalfOpen, Closed)
	case Open:
		if !p.open(ctx, call, c, ph, "probe_failed") {
			return
		}
		event = "breaker.probe_failed"
	}
	call.Emit(ctx, event, stateAttr(HalfOpen))
}

// open opens the circuit, unless ph is no longer its phase, and reports whether
// it did.
func (p *Policy) open(ctx context.Context, call policy.Call, c *circuit, ph *phase, reason string) bool {
	r := newRecovery(&p.config, ph.recovery)
	r.opened = call.Link(ctx)
	r.rejection = &openError{strings.Clone(call.Key), Open, r.until}
	from := ph.state()
	if !c.phase.CompareAndSwap(ph, &phase{recovery: r}) {
		return false
	}
	emitChange(ctx, call, "breaker.opened", from, Open, slog.String("transition.reason", reason), slog.Duration("open_for", r.openFor))
	return true
}
