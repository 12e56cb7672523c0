// Package chaos provides a policy that makes calls slow or has them fail, to see
// what the others make of it.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		breaker.New(breaker.Config{}),
//		chaos.New(chaos.Config{
//			Enabled: true,
//			Faults: []chaos.Fault{
//				{Rate: 0.05, Status: 503},
//				{Rate: 0.02, Latency: 3 * time.Second},
//				{Rate: 0.01, Err: io.ErrUnexpectedEOF},
//			},
//		}),
//	)
//
// It belongs innermost, so that all other policies meet the faults as if the
// other side had made them. A call that is made to fail is not carried out.
//
// A policy that has faults to inject has to be enabled explicitly: otherwise a
// pipeline refuses it, so that no configuration that was meant for a test does harm
// elsewhere by mistake. A policy without faults does nothing.
//
// # Events
//
// The policy emits chaos.injected, see [policy.Call.Emit], with fault (error,
// status, outcome, or latency if it is nothing else), and with latency and status if
// there are any. The outcomes of its calls are injected and passed.
package chaos

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrInjected matches the errors of calls that were made to fail by
// [Fault.Err].
var ErrInjected = errors.New("chaos: injected")

// Config configures a [Policy]. The zero Config injects nothing.
type Config struct {
	// Name identifies the policy. Default: "chaos".
	Name string `json:"name" yaml:"name"`

	// Enabled says that calls may be made to fail here. Default: false, which is
	// valid only without Faults.
	Enabled bool `json:"enabled" yaml:"enabled"`

	// Faults are what is injected. A call meets one of them at most, so their
	// rates add up to 1 at most. Default: none.
	Faults []Fault `json:"faults" yaml:"faults"`

	// Seed makes the faults come in the same order each time: the first, second,
	// third call of a policy meets the same fault as that of any other policy with
	// this Seed and these Faults. Which of several calls at a time is the first is
	// left to chance. Default: 0, another order each time.
	Seed uint64 `json:"seed" yaml:"seed"`
}

// A Policy injects faults. Make one with [New]. It is safe for concurrent use.
type Policy struct {
	config Config
	calls  atomic.Uint64 // made so far
}

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "chaos")
	config.Faults = slices.Clone(config.Faults)
	config.Seed = cmp.Or(config.Seed, rand.Uint64())
	return &Policy{config: config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "chaos".
func (p *Policy) Type() string { return "chaos" }

// Do implements [policy.Policy]. It lets the call pass, or has it meet a fault.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	fault := p.draw()
	if fault == nil {
		call.Outcome(ctx, "passed")
		return next(ctx, call)
	}
	call.Outcome(ctx, "injected")
	call.Emit(ctx, "chaos.injected", fault.attrs()...)
	if fault.Latency > 0 {
		if err := call.Wait(ctx, fault.Latency, "chaos latency", slog.Duration("latency", fault.Latency)); err != nil {
			return err
		}
	}
	return fault.inject(ctx, call, next)
}

// draw returns the fault that the next call meets, or nil. It goes by the number of
// the call alone, so calls do not wait for each other's draw.
func (p *Policy) draw() *Fault {
	if !p.config.Enabled || len(p.config.Faults) == 0 {
		return nil
	}
	lot := uniform(p.config.Seed, p.calls.Add(1))
	for i := range p.config.Faults {
		fault := &p.config.Faults[i]
		if lot < fault.Rate {
			return fault
		}
		lot -= fault.Rate
	}
	return nil
}

// uniform returns the n-th of a sequence of random numbers from 0 up to 1.
func uniform(seed, n uint64) float64 {
	var source rand.PCG
	source.Seed(seed, n)
	const bits = 53 // of a float64's mantissa
	return float64(source.Uint64()>>(64-bits)) / (1 << bits)
}
