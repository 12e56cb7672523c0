package limit

import (
	"errors"
	"fmt"
	"time"
)

// Validate reports all that is wrong with the policy's configuration, or that the
// policy was made by other means than [New].
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	return errors.Join(
		check("Min", c.Min, 1, most),
		check("Max", c.Max, min(max(1, c.Min), most), most),
		check("Initial", c.Initial, min(max(1, c.Min), most), min(max(1, c.Min, c.Max), most)),
		check("Window", c.Window, 100*time.Millisecond, time.Hour),
		check("Tolerance", c.Tolerance, 1, 100),
	)
}

const most = 1_000_000

func check[T int | float64 | time.Duration](field string, value, least, most T) error {
	if least <= value && value <= most {
		return nil
	}
	return fmt.Errorf("invalid %s %v: want %v to %v", field, value, least, most)
}
