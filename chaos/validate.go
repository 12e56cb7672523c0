package chaos

import (
	"errors"
	"fmt"
	"time"
)

// Validate reports everything that is wrong with the policy's configuration, above
// all Faults without Enabled.
func (p *Policy) Validate() error {
	c := p.config
	if c.Name == "" {
		return errNotMade
	}
	var errs []error
	if len(c.Faults) > 0 && !c.Enabled {
		errs = append(errs, errors.New("invalid Enabled false: want true where calls may be made to fail, or else no Faults"))
	}
	sum := 0.0
	for i := range c.Faults {
		fault := &c.Faults[i]
		sum += fault.Rate
		if err := fault.validate(); err != nil {
			errs = append(errs, fmt.Errorf("invalid Faults[%d]: %w", i, err))
		}
	}
	if sum > 1+rounding {
		errs = append(errs, fmt.Errorf("invalid Faults: their rates add up to %v: want at most 1", sum))
	}
	return errors.Join(errs...)
}

var errNotMade = errors.New("chaos: not usable: want a Policy made with New")

// rounding is what a sum of rates may be too large by.
const rounding = 1e-9

func (f *Fault) validate() error {
	kinds := 0
	for _, set := range []bool{f.Status != 0, f.Err != nil, f.Outcome != nil} {
		if set {
			kinds++
		}
	}
	var errs []error
	complain := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(f.Rate >= 0 && f.Rate <= 1, "invalid Rate %v: want 0 to 1", f.Rate)
	complain(f.Latency >= 0 && f.Latency <= longest, "invalid Latency %v: want 0 to %v", f.Latency, longest)
	complain(f.Status == 0 || f.Status >= 200 && f.Status <= 599, "invalid Status %d: want 200 to 599", f.Status)
	complain(kinds <= 1, "several of Status, Err and Outcome: want one")
	complain(kinds > 0 || f.Latency != 0, "nothing to inject: want Latency, Status, Err or Outcome")
	return errors.Join(errs...)
}

// longest is the longest latency that makes sense; more is a mistake of unit.
const longest = 24 * time.Hour
