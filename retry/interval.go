package retry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A Jitter says how a delay is drawn from an interval that grows with each
// attempt. Its zero value is FullJitter. It reads and writes as text: "full",
// "equal", "decorrelated", "none".
type Jitter uint8

const (
	// FullJitter draws from 0 to the interval. It spreads clients best, see
	// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
	FullJitter Jitter = iota

	// EqualJitter draws from half the interval to the interval.
	EqualJitter

	// DecorrelatedJitter draws from InitialInterval to three times the delay
	// before, at most MaxInterval. Multiplier has no part in it.
	DecorrelatedJitter

	// NoJitter takes the interval as it is.
	NoJitter
)

var jitters = []string{"full", "equal", "decorrelated", "none"}

func (j Jitter) valid() bool { return int(j) < len(jitters) }

// String returns the text of j.
func (j Jitter) String() string {
	if !j.valid() {
		return fmt.Sprintf("Jitter(%d)", uint8(j))
	}
	return jitters[j]
}

// MarshalText implements [encoding.TextMarshaler].
func (j Jitter) MarshalText() ([]byte, error) {
	if !j.valid() {
		return nil, fmt.Errorf("retry: invalid %v", j)
	}
	return []byte(j.String()), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (j *Jitter) UnmarshalText(text []byte) error {
	i := slices.Index(jitters, string(text))
	if i < 0 {
		return fmt.Errorf("retry: invalid jitter %q: want one of %q", text, jitters)
	}
	*j = Jitter(i)
	return nil
}

// intervals are the delays of one call. They are made when its first attempt
// has failed.
type intervals struct {
	config    *Config
	failures  int                        // so far
	base      backoff.ExponentialBackOff // what plain failures wait for
	throttled backoff.ExponentialBackOff // what throttled ones do, once there was one
	grown     int                        // how many failures throttled knows of
	last      time.Duration
}

func (c *Config) intervals() intervals {
	return intervals{config: c, base: c.growing(c.InitialInterval)}
}

// growing returns intervals that grow from initial on. They have no jitter:
// what backoff caps is the interval, and the delay that it draws may exceed
// that. Nor do they end by themselves.
func (c *Config) growing(initial time.Duration) backoff.ExponentialBackOff {
	b := backoff.ExponentialBackOff{
		InitialInterval: initial,
		MaxInterval:     c.MaxInterval,
		Multiplier:      c.Multiplier,
		Stop:            backoff.Stop,
		Clock:           still{},
	}
	b.Reset()
	return b
}

// A still clock spares reading the time, which counts only for intervals that end by
// themselves.
type still struct{}

func (still) Now() time.Time { return time.Time{} }

// next returns how long to wait after err, which is of the given class, and where
// the delay comes from. The interval grows with each attempt, whatever their
// failures.
func (i *intervals) next(err error, class policy.Class) (delay time.Duration, source string) {
	i.failures++
	initial, interval := i.config.InitialInterval, i.base.NextBackOff()
	if class == policy.Throttled {
		initial, interval = i.config.ThrottledInterval, i.slow()
	}
	i.last = i.draw(initial, interval)
	asked, ok := policy.RetryAfter(err)
	if !ok {
		return i.last, "backoff"
	}
	// Jitter comes on top: it never makes a client come sooner than asked for.
	if i.config.Jitter != NoJitter {
		asked += upTo(initial / 2)
	}
	if asked <= i.last {
		return i.last, "backoff"
	}
	return asked, "retry_after"
}

// slow returns the interval for throttled failures.
func (i *intervals) slow() (interval time.Duration) {
	if i.grown == 0 {
		i.throttled = i.config.growing(i.config.ThrottledInterval)
	}
	for ; i.grown < i.failures; i.grown++ {
		interval = i.throttled.NextBackOff()
	}
	return interval
}

// draw returns a delay of the given interval.
func (i *intervals) draw(initial, interval time.Duration) time.Duration {
	switch i.config.Jitter {
	case EqualJitter:
		return interval/2 + upTo(interval-interval/2)
	case DecorrelatedJitter:
		// Drawn below the cap, rather than cut off by it, so that clients stay
		// apart even there.
		limit := i.config.MaxInterval
		if before := max(initial, i.last); before < limit/3 {
			limit = 3 * before
		}
		return initial + upTo(limit-initial)
	case NoJitter:
		return interval
	default:
		return upTo(interval)
	}
}

// upTo returns a random duration of at most d.
func upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(rand.Int64N(int64(d))) + 1
}
