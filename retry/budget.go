package retry

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// BudgetConfig configures a [Budget]. The zero BudgetConfig is ready to use.
type BudgetConfig struct {
	// Ratio is how many retries each call earns: 0.2 allows one retry for every
	// five calls. Default: 0.2.
	Ratio float64 `json:"ratio" yaml:"ratio"`

	// MinPerSecond is how many retries are allowed in any case, for clients
	// with few calls. Default: 10.
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
	start  time.Time
	width  time.Duration // of a slot
	calls  ring

	mu      sync.Mutex // held to compare and withdraw in one step
	retries ring
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
	return &Budget{config: config, start: time.Now(), width: max(config.Window/slots, time.Millisecond)}
}

func (b *Budget) unlimited() bool { return b == nil || b.width == 0 }

func (b *Budget) validate() error {
	if b.unlimited() {
		return nil
	}
	c := b.config
	var errs []error
	if !(c.Ratio >= 0) || c.Ratio > 100 {
		errs = append(errs, fmt.Errorf("invalid Budget.Ratio %v: want a number from 0 to 100", c.Ratio))
	}
	if !(c.MinPerSecond >= 0) || math.IsInf(c.MinPerSecond, 1) {
		errs = append(errs, fmt.Errorf("invalid Budget.MinPerSecond %v: want a finite number of at least 0", c.MinPerSecond))
	}
	if c.Window < time.Millisecond*slots {
		errs = append(errs, fmt.Errorf("invalid Budget.Window %v: want at least %v", c.Window, time.Millisecond*slots))
	}
	return errors.Join(errs...)
}

// deposit counts a call.
func (b *Budget) deposit() {
	if !b.unlimited() {
		b.calls.add(b.slot(), 1)
	}
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
	allowed := b.config.Ratio*float64(b.calls.sum(now)) + b.config.MinPerSecond*b.config.Window.Seconds()
	if float64(b.retries.sum(now)+1) > allowed {
		return 0, false
	}
	b.retries.add(now, 1)
	return now, true
}

// refund takes back the withdrawal of the given slot.
func (b *Budget) refund(slot int64) {
	if !b.unlimited() {
		b.retries.add(slot, -1)
	}
}

// slot returns the number of the part of the window that is now. It is never
// negative, even if time has been turned back, as testing/synctest does for a
// budget that was made outside of its bubble.
func (b *Budget) slot() int64 {
	return max(0, int64(time.Since(b.start)/b.width))
}

// slots is how many parts a window has, the current one not counted: what is
// older than the window is forgotten a part at a time.
const slots = 10

// A ring counts events in the slots of a rolling window. It is safe for
// concurrent use and takes no lock, since every call is counted.
type ring [slots + 1]atomic.Uint64 // the slot's number, and below it the count

// countBits is how many bits of an element are the count. What remains for the
// number lasts for 49 days of the shortest slots, and for centuries of usual ones,
// before an old count could be taken for a new one.
const (
	countBits = 32
	countMask = 1<<countBits - 1
)

// add adds n to the count of a slot. A slot that is older than the window is
// left alone.
func (r *ring) add(slot int64, n int) {
	number := uint64(slot) & countMask
	element := &r[slot%int64(len(r))]
	for {
		old := element.Load()
		count := 0
		switch found := old >> countBits; {
		case found == number:
			count = int(old & countMask)
		case found > number || n < 0:
			return
		}
		if element.CompareAndSwap(old, number<<countBits|uint64(max(0, count+n))) {
			return
		}
	}
}

// sum returns the count of the window that ends with slot.
func (r *ring) sum(slot int64) int {
	total := 0
	for i := range r {
		element := r[i].Load()
		if age := slot - int64(element>>countBits); age >= 0 && age <= slots {
			total += int(element & countMask)
		}
	}
	return total
}
