package coalesce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Config configures a [Policy]. The zero Config is ready to use for HTTP.
type Config struct {
	// Name identifies the policy. Default: "coalesce".
	Name string `json:"name" yaml:"name"`

	// Key returns what tells a call from others of its name, such as the arguments
	// of a function, mostly by the context. It is part of what is identical for
	// HTTP requests, too. Calls with the empty string are not shared. It must be safe
	// for concurrent use. Default: HTTP requests speak for themselves, and other
	// calls are not shared.
	Key func(ctx context.Context, call policy.Call) string `json:"-" yaml:"-"`

	// Once has Once calls be shared, too, if Key says that they are identical.
	// Default: false.
	Once bool `json:"once" yaml:"once"`

	// MaxBytes is how long a response's body may be to be shared, as all of it is
	// held in memory, from 1 to 1 GiB. Default: 1 MiB.
	MaxBytes int64 `json:"max_bytes" yaml:"max_bytes"`
}

// A Policy has identical calls share an execution. Make one with [New]. It is safe
// for concurrent use.
type Policy struct {
	config  Config
	flights *flights // behind a pointer, out of reach of what prints structs by reflection
}

// flights are a policy's executions.
type flights struct {
	mu      sync.Mutex
	byID    map[identity]*flight // those that can be joined
	waiting int                  // calls, for all flights
}

// An identity is what identical calls have in common. It may hold secrets.
type identity struct{ name, key, own, operation string }

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "coalesce")
	config.MaxBytes = cmp.Or(config.MaxBytes, 1<<20)
	return &Policy{config: config, flights: &flights{byID: make(map[identity]*flight)}}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "coalesce".
func (p *Policy) Type() string { return "coalesce" }

// HasKey reports whether Config.Key tells calls apart. A pipeline asks for its warnings.
func (p *Policy) HasKey() bool { return p.config.Key != nil }

// Validate reports what is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	const most = 1 << 30
	switch {
	case p.config.Name == "":
		return errNotMade
	case p.config.MaxBytes < 1, p.config.MaxBytes > most:
		return fmt.Errorf("invalid MaxBytes %d: want 1 to %d", p.config.MaxBytes, most)
	default:
		return nil
	}
}

var errNotMade = policy.WithClass(errors.New("coalesce: not usable: want a Policy made with New"), policy.Permanent)

// Gauges returns how many executions are under way that can be joined, and how many
// calls wait for one, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		p.flights.mu.Lock()
		executions, waiting := len(p.flights.byID), p.flights.waiting
		p.flights.mu.Unlock()
		_ = yield(policy.Gauge{Name: "executions", Unit: "{execution}", Value: float64(executions)}) &&
			yield(policy.Gauge{Name: "waiting", Unit: "{call}", Value: float64(waiting)})
	}
}

// Do implements [policy.Policy]. It has the call end as the execution does that it
// shares, or with the cause of ctx's end if that comes first. The execution's context
// has the values of the first call's, and ends when all calls have.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	id, op := p.identify(ctx, call)
	if op == nil || ctx.Err() != nil {
		call.Outcome(ctx, "alone")
		return next(ctx, call)
	}
	f, leads := p.join(ctx, call, next, id, op)
	shared, err := p.flights.wait(ctx, call, f, leads)
	switch {
	case !shared:
		call.Outcome(ctx, "alone")
		call.Emit(ctx, "coalesce.parted")
		return next(ctx, call)
	case leads:
		call.Outcome(ctx, "led")
	default:
		call.Outcome(ctx, "joined")
	}
	return err
}

// identify returns what calls have in common that are identical to this one, and its
// operation, which is nil if it cannot be shared.
func (p *Policy) identify(ctx context.Context, call policy.Call) (identity, policy.Sharer) {
	op, ok := call.Operation().(policy.Sharer)
	if !ok || call.Once && !p.config.Once || ctx.Value(inFlight{p}) != nil {
		return identity{}, nil
	}
	id := identity{name: call.Name, key: call.Key}
	if p.config.Key != nil {
		if id.own = p.config.Key(ctx, call); id.own == "" {
			return identity{}, nil
		}
	}
	if id.operation, ok = op.Identity(call); !ok || id.own == "" && id.operation == "" {
		return identity{}, nil
	}
	return id, op
}
