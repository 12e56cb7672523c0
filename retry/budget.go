package retry

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/rolling"
)

// BudgetConfig configures a [Budget]. The zero BudgetConfig is ready to use.
type BudgetConfig struct {
	// Ratio is how many retries each call earns: 0.2 allows one retry for every
	// five calls. Default: 0.2.
	Ratio float64 `json:"ratio" yaml:"ratio"`

	// MinPerSecond is how many retries are allowed in any case, for clients
	// with few calls; next to none with a number like 0.001. Default: 10.
	MinPerSecond float64 `json:"min_per_second" yaml:"min_per_second"`

	// Window is how far back calls and retries are counted. Default: 10 s.
	Window time.Duration `json:"window" yaml:"window"`
}

// A Budget bounds retries to a share of the calls, for all policies that share
// it. When a server fails every call, a client with a budget of 20 % sends it
// 1.2 times the load, and one without sends it MaxAttempts times. Make one with
// [NewBudget]; the zero Budget is unlimited. It is safe for concurrent use.
type Budget struct {
	config BudgetConfig
	clock  rolling.Clock
	latest atomic.Int64 // the number of the last slot
	calls  rolling.Counter

	mu      sync.Mutex // held to compare and withdraw in one step
	retries rolling.Counter
}

// Unlimited is a Budget that allows every retry. It is for clients that do not
// mind making an outage worse, such as those of tests.
var Unlimited = &Budget{}

// NewBudget returns a budget with the given configuration. What is wrong with
// that, the policy that uses it reports.
func NewBudget(config BudgetConfig) *Budget {
	config.Ratio = cmp.Or(config.Ratio, 0.2)
	config.MinPerSecond = cmp.Or(config.MinPerSecond, 10)
	config.Window = cmp.Or(config.Window, 10*time.Second)
	return &Budget{config: config, clock: rolling.NewClock(config.Window)}
}

func (b *Budget) unlimited() bool { return b == nil || b.config.Window == 0 }

// Deposit counts a call, which earns the budget [BudgetConfig.Ratio] of a retry.
//
// Retry policies do that by themselves. Deposit and [Budget.Withdraw] are for other
// policies that send a call more than once, such as hedges, so that one budget
// bounds all that is sent in excess.
func (b *Budget) Deposit() {
	if !b.unlimited() {
		b.calls.Inc(b.slot())
	}
}

// Withdraw counts a retry, or reports that none is left.
func (b *Budget) Withdraw() bool {
	_, ok := b.withdraw()
	return ok
}

// Validate reports what is wrong with the budget's configuration, for the policy
// that uses it to report.
func (b *Budget) Validate() error {
	if b.unlimited() {
		return nil
	}
	c := b.config
	var errs []error
	if !(c.Ratio >= 0) || c.Ratio > 100 {
		errs = append(errs, fmt.Errorf("invalid Budget.Ratio %v: want a number from 0 to 100", c.Ratio))
	}
	if !(c.MinPerSecond >= 0) || c.MinPerSecond > 1e6 {
		errs = append(errs, fmt.Errorf("invalid Budget.MinPerSecond %v: want a number from 0 to 1e6", c.MinPerSecond))
	}
	if c.Window < time.Millisecond*rolling.Slots || c.Window > maxInterval {
		errs = append(errs, fmt.Errorf("invalid Budget.Window %v: want %v to %v", c.Window, time.Millisecond*rolling.Slots, maxInterval))
	}
	return errors.Join(errs...)
}

// withdraw counts a retry, or reports that none is left. It returns what to
// give to refund if the retry does not take place after all.
func (b *Budget) withdraw() (slot int64, ok bool) {
	if b.unlimited() {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.slot()
	allowed := b.config.Ratio*float64(b.calls.Sum(now)) + b.config.MinPerSecond*b.config.Window.Seconds()
	if float64(b.retries.Sum(now)+1) > allowed {
		return 0, false
	}
	b.retries.Inc(now)
	return now, true
}

// refund takes back the withdrawal of the given slot.
func (b *Budget) refund(slot int64) {
	if !b.unlimited() {
		b.retries.Dec(slot)
	}
}

// slot returns the number of the part of the window that is now.
//
// Time may be turned back: testing/synctest does that, by decades, for a budget
// that was made outside of its bubble. The budget then begins anew.
func (b *Budget) slot() int64 {
	now := b.clock.Slot()
	switch latest := b.latest.Load(); {
	case now > latest:
		b.latest.CompareAndSwap(latest, now)
	case now < latest-rolling.Slots && b.latest.CompareAndSwap(latest, now):
		b.calls.Clear()
		b.retries.Clear()
	}
	return now
}
