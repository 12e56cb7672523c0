package breaker

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/rolling"
)

// Validate reports all that is wrong with the policy's configuration, or that
// the policy was made by other means than [New].
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	return errors.Join(
		checkRatio("FailureRatio", c.FailureRatio),
		checkNumber("MinCalls", c.MinCalls, math.MaxInt32),
		checkDuration("Window", c.Window, rolling.Slots*time.Millisecond),
		checkNumber("ConsecutiveFailures", c.ConsecutiveFailures, math.MaxInt32),
		checkDuration("OpenFor", c.OpenFor, time.Millisecond),
		checkDuration("MaxOpenFor", c.MaxOpenFor, min(max(c.OpenFor, time.Millisecond), longest)),
		checkNumber("Probes", c.Probes, 1000),
		checkDuration("ProbeTimeout", c.ProbeTimeout, time.Millisecond),
		checkDuration("SlowCall", cmp.Or(c.SlowCall, time.Second), time.Microsecond), // 0 is none.
		checkRatio("SlowRatio", c.SlowRatio),
	)
}

// longest is the longest duration that makes sense; more is a mistake of unit.
const longest = 30 * 24 * time.Hour

func checkRatio(field string, value float64) error {
	if value > 0 && value <= 1 {
		return nil
	}
	return fmt.Errorf("invalid %s %v: want more than 0 and at most 1", field, value)
}

func checkNumber(field string, value, most int) error {
	if 1 <= value && value <= most {
		return nil
	}
	return fmt.Errorf("invalid %s %d: want 1 to %d", field, value, most)
}

func checkDuration(field string, value, least time.Duration) error {
	if least <= value && value <= longest {
		return nil
	}
	return fmt.Errorf("invalid %s %v: want %v to %v", field, value, least, longest)
}
