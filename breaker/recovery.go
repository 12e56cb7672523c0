package breaker

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// A recovery is the way of a circuit from its opening to the verdict of its
// probes.
type recovery struct {
	config  *Config
	term    time.Duration // how long the circuit is open, at most
	openFor time.Duration // how long it is open
	until   time.Time     // when probes may pass
	opened  slog.Attr     // links to the call that opened the circuit

	rejection *openError // of calls that come before

	mu      sync.Mutex
	machine *gobreaker.TwoStepCircuitBreaker[struct{}] // counts the probes
	slots   []*slot                                    // those that are taken
	begun   bool                                       // a probe has passed
	over    bool                                       // the verdict is there
}

// A slot is the place of one probe. Several calls hold it if the first ones
// take too long; the first result is the slot's.
type slot struct {
	done    func(error) // tells machine of the result; is called once
	holders int
	since   time.Time // when the last of them took it
}

// newRecovery returns the recovery that follows previous, whose probes have
// failed, or the first one if previous is nil.
func newRecovery(config *Config, previous *recovery) *recovery {
	r := &recovery{config: config, term: config.OpenFor, openFor: config.OpenFor}
	if previous != nil {
		r.term, r.openFor = grow(previous.term, config)
	}
	r.machine = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(config.Probes), //nolint:gosec // Validated.
		Timeout:     1,                     // It is asked only when until has passed.
		ReadyToTrip: func(gobreaker.Counts) bool { return true },
		IsExcluded:  func(err error) bool { return errors.Is(err, errNothing) },
	})
	if done, err := r.machine.Allow(); err == nil {
		done(errBad) // Opens it.
	}
	r.until = time.Now().Add(r.openFor)
	return r
}

// grow returns twice the given term within the limits of config, and a random
// duration of no less than half of that.
func grow(term time.Duration, config *Config) (longer, openFor time.Duration) {
	longer = config.MaxOpenFor
	if term < config.MaxOpenFor/2 {
		longer = 2 * term
	}
	least := min(longer, max(config.OpenFor, longer/2))
	return longer, least + rand.N(longer-least+1)
}

// admit takes a slot for a call that wants to probe. It returns nil if none is
// free. first reports whether this is the first probe.
func (r *recovery) admit() (s *slot, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, false
	}
	now := time.Now()
	if done, err := r.machine.Allow(); err == nil {
		s := &slot{done: done, holders: 1, since: now}
		r.slots = append(r.slots, s)
		first, r.begun = !r.begun, true
		return s, first
	}
	for _, s := range r.slots {
		if now.Sub(s.since) >= r.config.ProbeTimeout {
			s.holders++
			s.since = now
			return s, false
		}
	}
	return nil, false
}

// end gives back the slot of a call that has ended and returns the state that
// follows from it. counted reports whether the call had any say in that.
func (r *recovery) end(s *slot, v verdict) (state State, counted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.holders--
	i := slices.Index(r.slots, s)
	if i < 0 || r.over || !v.counts && s.holders > 0 {
		return HalfOpen, false
	}
	r.slots = slices.Delete(r.slots, i, i+1)
	switch {
	case !v.counts:
		s.done(errNothing)
		return HalfOpen, false
	case v.failed || v.slow:
		s.done(errBad)
		r.over = true
		return Open, true
	default:
		s.done(nil)
		r.over = r.machine.State() == gobreaker.StateClosed
		if r.over {
			return Closed, true
		}
		return HalfOpen, true
	}
}
