package workflow

import (
	"cmp"
	"fmt"
	"time"
)

// Retry says how an engine tries steps again that their pipelines have given up.
// The zero Retry is ready to use.
//
// Each delay is twice the one before. If the failure tells when to come back, as a
// Retry-After or an open circuit do, the engine does that instead. A failure of class
// [policy.Permanent] is not tried again.
type Retry struct {
	// InitialInterval is the first delay. Default: 1 minute.
	InitialInterval time.Duration `json:"initial_interval" yaml:"initial_interval"`

	// MaxInterval is what delays do not grow beyond. Default: 1 hour.
	MaxInterval time.Duration `json:"max_interval" yaml:"max_interval"`

	// GiveUpAfter is how long a step may take with all attempts and delays; the failure
	// is then permanent. An attempt that takes as long is ended. Default: 24 hours.
	GiveUpAfter time.Duration `json:"give_up_after" yaml:"give_up_after"`
}

// WithDefaults returns r with defaults in place of zeros.
func (r Retry) WithDefaults() Retry {
	r.InitialInterval = cmp.Or(r.InitialInterval, time.Minute)
	r.MaxInterval = cmp.Or(r.MaxInterval, max(time.Hour, r.InitialInterval))
	r.GiveUpAfter = cmp.Or(r.GiveUpAfter, 24*time.Hour)
	return r
}

// Validate reports what is wrong with r.
func (r Retry) Validate() error {
	r = r.WithDefaults()
	switch {
	case r.InitialInterval < time.Millisecond:
		return fmt.Errorf("invalid InitialInterval %v: want at least 1ms", r.InitialInterval)
	case r.MaxInterval < r.InitialInterval:
		return fmt.Errorf("invalid MaxInterval %v: want at least InitialInterval, %v", r.MaxInterval, r.InitialInterval)
	case r.MaxInterval > maxDuration:
		return fmt.Errorf("invalid MaxInterval %v: want at most %v", r.MaxInterval, maxDuration)
	case r.GiveUpAfter < r.InitialInterval:
		return fmt.Errorf("invalid GiveUpAfter %v: want at least InitialInterval, %v", r.GiveUpAfter, r.InitialInterval)
	case r.GiveUpAfter > maxDuration:
		return fmt.Errorf("invalid GiveUpAfter %v: want at most %v", r.GiveUpAfter, maxDuration)
	default:
		return nil
	}
}

// maxDuration is ten years. What is beyond is a number whose unit was mistaken.
const maxDuration = 10 * 365 * 24 * time.Hour

// Next returns how long to wait before the next attempt of a step that has failed
// after the given number of attempts, the first of which began the given time ago.
// ok is false if there is none. Attempts that were told when to come back are not
// among them: they do not make delays grow.
func (r Retry) Next(f *Failure, attempts int, elapsed time.Duration) (delay time.Duration, ok bool) {
	r = r.WithDefaults()
	if IsPermanent(f) {
		return 0, false
	}
	delay, told := f.RetryAfter()
	if !told {
		delay = r.InitialInterval
		for i := 1; i < attempts && delay < r.MaxInterval; i++ {
			delay *= 2
		}
		delay = min(delay, r.MaxInterval)
	}
	return delay, elapsed+delay <= r.GiveUpAfter
}
