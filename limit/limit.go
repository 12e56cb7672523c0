package limit

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/keyed"
	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrExceeded matches the errors of calls that were rejected because as many are in
// flight as the server can take. They also match [policy.ErrRejected].
var ErrExceeded = policy.WithClass(errors.New("limit: exceeded"), policy.Rejected)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "limit".
	Name string `json:"name" yaml:"name"`

	// Initial is how many calls may be in flight before anything is known, from Min to
	// Max. Default: 20, or the nearest to that.
	Initial int `json:"initial" yaml:"initial"`

	// Min is how many calls may be in flight in any case, at least 1. Default: 1.
	Min int `json:"min" yaml:"min"`

	// Max is how many calls may be in flight at most, from Min to 1,000,000. Default:
	// 1000, or Min or Initial if one of these is more.
	Max int `json:"max" yaml:"max"`

	// Window is over which time calls are measured before the limit is changed, from
	// 100 ms to an hour. It is longer until there are 10 calls. Default: 1 second.
	Window time.Duration `json:"window" yaml:"window"`

	// Tolerance is how many times as long calls may take as they do without a queue,
	// from 1 to 100, before that is taken for one. What is close to 1 makes for short
	// queues, and for a limit that is too low if the latency varies. Default: 1.5.
	Tolerance float64 `json:"tolerance" yaml:"tolerance"`

	// Refused reports whether an error shows that the server has refused the call, or
	// was too busy for it; otherwise the error says nothing. It is not asked about
	// errors that leave the server out of it: those of class Canceled and Rejected,
	// and those of a caller that has left. It must be safe for concurrent use.
	// Default: the error's class decides, see the package's documentation.
	Refused func(error) bool `json:"-" yaml:"-"`
}

// A Policy limits how many calls are in flight to what the server can take. Make one
// with [New]. It is safe for concurrent use.
type Policy struct {
	config Config
	keys   keyed.Map[limiter]
}

// New returns a policy with the given configuration and no call in flight.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "limit")
	config.Min = cmp.Or(config.Min, 1)
	config.Max = cmp.Or(config.Max, max(1000, config.Min, config.Initial))
	config.Initial = cmp.Or(config.Initial, max(config.Min, min(20, config.Max)))
	config.Window = cmp.Or(config.Window, time.Second)
	config.Tolerance = cmp.Or(config.Tolerance, 1.5)
	p := &Policy{config: config}
	p.keys.New = func() *limiter { return newLimiter(&p.config) }
	p.keys.Forget = (*limiter).abandon
	return p
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type returns "limit". It names the policy's spans.
func (p *Policy) Type() string { return "limit" }

// Do implements [policy.Policy]. If as many calls of the call's key are in flight as
// the server can take, Do rejects the call with an error that matches
// [ErrExceeded]; otherwise it returns what next returns.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	l, inFlight := p.enter(call.Key)
	if inFlight == full {
		return reject(ctx, call, l.allowed.Load())
	}
	call.Note(ctx, slog.Int64("max_in_flight", l.allowed.Load()))
	v, start := ignored, time.Now()
	defer func() {
		l.leave(v, inFlight, start)
		call.Outcome(ctx, v.String())
	}()
	over := ctx.Err() != nil
	err := next(ctx, call)
	if err == nil || !over { // It may not even have been tried.
		v = p.judge(ctx, err)
	}
	return err
}

// enter takes a place in flight, if there is one, and returns how many are taken then.
func (p *Policy) enter(key string) (l *limiter, inFlight int64) {
	for {
		l = p.keys.Get(key)
		if inFlight = l.enter(); inFlight != abandoned {
			return l, inFlight
		}
		p.keys.Delete(key, l)
	}
}

// Limit returns how many calls of the given key may be in flight at this moment.
func (p *Policy) Limit(key string) int {
	if l, ok := p.keys.Find(key); ok {
		return int(l.allowed.Load())
	}
	return p.config.Initial
}

// Gauges returns how many calls are in flight, and how many may be, for all keys
// together, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		var inFlight, allowed int64
		for l := range p.keys.All() {
			inFlight += max(0, l.inFlight.Load())
			allowed += l.allowed.Load()
		}
		_ = yield(policy.Gauge{Name: "in_flight", Unit: "{call}", Value: float64(inFlight)}) &&
			yield(policy.Gauge{Name: "max_in_flight", Unit: "{call}", Value: float64(allowed)})
	}
}
