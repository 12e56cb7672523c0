package bulkhead

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

// ErrFull matches the errors of calls that were rejected because there was no
// slot for them. They also match [policy.ErrRejected].
var ErrFull = policy.WithClass(errors.New("bulkhead: full"), policy.Rejected)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "bulkhead".
	Name string `json:"name" yaml:"name"`

	// Slots is how many calls of a key may run at a time. Default: 10.
	Slots int `json:"slots" yaml:"slots"`

	// MaxWait is how long a call may wait for a slot, from 1 ms to 30 days.
	// Default: 0, not at all.
	MaxWait time.Duration `json:"max_wait" yaml:"max_wait"`

	// MaxQueue is how many calls of a key may wait at a time. Default: Slots.
	MaxQueue int `json:"max_queue" yaml:"max_queue"`

	// Global has calls of all keys share the slots and the queue.
	Global bool `json:"global" yaml:"global"`
}

// A Policy limits how many calls run at a time. Make one with [New]. It is safe
// for concurrent use; pipelines that list the same one share its slots.
type Policy struct {
	config Config
	gates  gates
}

// New returns a policy with the given configuration and all slots free.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "bulkhead")
	config.Slots = cmp.Or(config.Slots, 10)
	if config.MaxWait != 0 {
		config.MaxQueue = cmp.Or(config.MaxQueue, config.Slots)
	}
	return &Policy{config: config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "bulkhead".
func (p *Policy) Type() string { return "bulkhead" }

// Validate reports all that is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	if c.Slots < 1 || c.Slots > most {
		errs = append(errs, fmt.Errorf("invalid Slots %d: want 1 to %d", c.Slots, most))
	}
	if c.MaxWait != 0 && (c.MaxWait < minWait || c.MaxWait > maxWait) {
		errs = append(errs, fmt.Errorf("invalid MaxWait %v: want 0 or %v to %v", c.MaxWait, minWait, maxWait))
	}
	if c.MaxQueue < 0 || c.MaxQueue > most {
		errs = append(errs, fmt.Errorf("invalid MaxQueue %d: want 1 to %d", c.MaxQueue, most))
	} else if c.MaxQueue > 0 && c.MaxWait == 0 {
		errs = append(errs, fmt.Errorf("invalid MaxQueue %d: want a MaxWait too, or nothing waits", c.MaxQueue))
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
// slot for the call, next is not called, and the error matches [ErrFull]; it also
// wraps the context's cause if the deadline passed during the wait. If the caller
// left, the error is the context's cause.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	g, outcome, err := p.enter(ctx, call)
	if err != nil {
		call.Outcome(ctx, outcome)
		return err
	}
	defer func() {
		g.leave()
		call.Outcome(ctx, outcome)
	}()
	return next(ctx, call)
}

// The outcomes of calls.
const (
	admitted = "admitted"
	waited   = "waited" // and then admitted
	rejected = "rejected"
	canceled = "canceled" // while it waited
)

// enter takes a slot of the gate that it returns, and says how it went.
func (p *Policy) enter(ctx context.Context, call policy.Call) (entered *gate, outcome string, err error) {
	key := call.Key
	if p.config.Global {
		key = ""
	}
	for {
		g, ok := p.gates.enter(key, p.config.Slots)
		if ok {
			return g, admitted, nil
		}
		if p.config.MaxWait <= 0 {
			return nil, rejected, p.reject(ctx, call, reasonFull, nil)
		}
		w, why := g.join(ctx, &p.config)
		if w != nil {
			outcome, err := p.wait(ctx, call, g, w)
			return g, outcome, err
		}
		if why != "" {
			return nil, rejected, p.reject(ctx, call, why, nil)
		}
	}
}

// wait waits for the turn of w at g, and says how it went.
func (p *Policy) wait(ctx context.Context, call policy.Call, g *gate, w *waiter) (outcome string, err error) {
	switch why := p.await(ctx, call, g, w); {
	case why == "":
		return waited, nil
	case why == reasonMaxWait:
		return rejected, p.reject(ctx, call, why, nil)
	case errors.Is(ctx.Err(), context.Canceled):
		return canceled, context.Cause(ctx)
	default:
		return rejected, p.reject(ctx, call, why, context.Cause(ctx))
	}
}

// await waits until w has a slot, or returns the reason why it has none.
func (p *Policy) await(ctx context.Context, call policy.Call, g *gate, w *waiter) reason {
	settled := false
	defer func() {
		if !settled && !g.quit(w) { // as who listens has panicked
			g.leave()
		}
	}()
	ctx, end := call.Step(ctx, "bulkhead wait", slog.Int("slots", p.config.Slots), slog.Int("ahead", w.ahead))
	why := w.wait(ctx, p.config.MaxWait)
	end(nil)
	settled = true
	if why != "" && g.quit(w) {
		return why
	}
	return "" // perhaps it has got a slot just now
}

// reject tells that the call is rejected and returns the error for it.
func (p *Policy) reject(ctx context.Context, call policy.Call, why reason, cause error) error {
	call.Emit(ctx, "bulkhead.rejected", slog.Int("slots", p.config.Slots), slog.String("reason", string(why)))
	e := &fullError{config: &p.config, reason: why, cause: cause}
	if !p.config.Global {
		e.key = call.Key
	}
	return e
}

// Gauges returns how many slots are taken and how many calls wait, of all keys
// together, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		running, waiting := p.gates.count()
		_ = yield(policy.Gauge{Name: "in_use", Unit: "{slot}", Value: float64(running)}) &&
			yield(policy.Gauge{Name: "waiting", Unit: "{call}", Value: float64(waiting)})
	}
}
