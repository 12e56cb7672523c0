package throttle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/keyed"
	"github.com/evenkeel-go/evenkeel/internal/rolling"
	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrOverloaded matches the errors of calls that were rejected because the server
// refuses too many. They also match [policy.ErrRejected].
var ErrOverloaded = policy.WithClass(errors.New("throttle: server overloaded"), policy.Rejected)

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "throttle".
	Name string `json:"name" yaml:"name"`

	// K is how many calls may be sent for each one that is accepted, more than 1 and
	// at most 100. With less the server is spared more, and it takes longer to use
	// what it can accept again. Default: 2.
	K float64 `json:"k" yaml:"k"`

	// Window is how far back calls count, from 10 ms to 30 days. It rolls on by
	// tenths. Default: 10 seconds.
	Window time.Duration `json:"window" yaml:"window"`

	// MinCalls is how many calls within Window it takes before any is rejected, so
	// that a few failures do not matter where there is no load. Default: 10.
	MinCalls int `json:"min_calls" yaml:"min_calls"`

	// Refused reports whether an error shows that the server has refused the call, or
	// was too busy for it; otherwise it has accepted the call. It is not asked about
	// errors that leave the server out of it: those of class Canceled and Rejected,
	// and those of a caller that has left. It must be safe for concurrent use.
	// Default: the error's class decides, see the package's documentation.
	Refused func(error) bool `json:"-" yaml:"-"`
}

// A Policy rejects a share of the calls to servers that refuse too many. Make one
// with [New]. It is safe for concurrent use.
type Policy struct {
	config Config
	clock  rolling.Clock
	keys   keyed.Map[window]
}

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "throttle")
	config.K = cmp.Or(config.K, 2)
	config.Window = cmp.Or(config.Window, 10*time.Second)
	config.MinCalls = cmp.Or(config.MinCalls, 10)
	p := &Policy{config: config, clock: rolling.NewClock(config.Window)}
	p.keys.New = func() *window { return newWindow(&p.clock) }
	p.keys.Forget = (*window).quiet
	return p
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type returns "throttle". It names the policy's spans.
func (p *Policy) Type() string { return "throttle" }

// Validate reports all that is wrong with the policy's configuration, or that the
// policy was made by other means than [New].
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	if !(c.K > 1 && c.K <= 100) {
		errs = append(errs, fmt.Errorf("invalid K %v: want more than 1 and at most 100", c.K))
	}
	if c.Window < minWindow || c.Window > maxWindow {
		errs = append(errs, fmt.Errorf("invalid Window %v: want %v to %v", c.Window, minWindow, maxWindow))
	}
	if c.MinCalls < 1 || c.MinCalls > math.MaxInt32 {
		errs = append(errs, fmt.Errorf("invalid MinCalls %d: want 1 to %d", c.MinCalls, math.MaxInt32))
	}
	return errors.Join(errs...)
}

var errNotMade = policy.WithClass(errors.New("throttle: not usable: want a Policy made with New"), policy.Permanent)

// What is beyond these is a number whose unit was mistaken.
const (
	minWindow = 10 * time.Millisecond
	maxWindow = 30 * 24 * time.Hour
)

// Do implements [policy.Policy]. While the server behind the call's key refuses too
// many calls, Do rejects a share of them with an error that matches
// [ErrOverloaded]; otherwise it returns what next returns.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	if p.config.Name == "" {
		return errNotMade
	}
	w := p.keys.Get(call.Key)
	if probability := p.probability(w); probability > 0 {
		if rand.Float64() < probability {
			w.count(rejected)
			return reject(ctx, call, probability)
		}
		call.Note(ctx, slog.Float64("probability", probability))
	}
	v := ignored
	defer func() {
		w.count(v)
		call.Outcome(ctx, v.String())
	}()
	over := ctx.Err() != nil
	err := next(ctx, call)
	if err == nil || !over { // It may not even have been tried.
		v = p.judge(ctx, err)
	}
	return err
}

// probability returns the probability by which calls are to be rejected.
func (p *Policy) probability(w *window) float64 {
	if w.quiet() {
		return 0
	}
	requests, accepts := w.counts()
	if requests < p.config.MinCalls {
		return 0
	}
	return max(0, (float64(requests)-p.config.K*float64(accepts))/float64(requests+1))
}

// Probability returns the probability by which calls of the given key are rejected
// at this moment, from 0 to less than 1.
func (p *Policy) Probability(key string) float64 {
	if w, ok := p.keys.Find(key); ok {
		return p.probability(w)
	}
	return 0
}

// Gauges returns how many keys have calls rejected at this moment, and how many
// have not, see [policy.Gauge].
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		var keys, throttled float64
		for w := range p.keys.All() {
			keys++
			if p.probability(w) > 0 {
				throttled++
			}
		}
		_ = yield(keysGauge(true, throttled)) && yield(keysGauge(false, keys-throttled))
	}
}

func keysGauge(throttled bool, n float64) policy.Gauge {
	return policy.Gauge{Name: "keys", Unit: "{key}", Value: n, Attrs: []slog.Attr{slog.Bool("throttled", throttled)}}
}
