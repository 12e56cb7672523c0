package auth

import (
	"iter"
	"math"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Gauges returns what can be said of the policy's grant at any time, see
// [policy.Gauge]: "reauth_required" is 1 while the last token request has ended
// with [ErrReauthRequired], which is the time to log in again even if the token
// that is there still works, and 0 otherwise. "token.expires_in" is for how many
// seconds the token is good, 0 of one that has expired; it is NaN if there is no
// token, or it does not tell.
func (p *Policy) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		lost, left := 0, math.NaN()
		current := p
		if p.isOwned() {
			current = p.of.current()
		}
		if current != nil && current.grant != nil {
			lost, left = current.grant.gauge()
		}
		_ = yield(reauthGauge(lost)) && yield(policy.Gauge{Name: "token.expires_in", Unit: "s", Value: left})
	}
}

// Gauges returns how many of the keys that are held need somebody to log in
// again, as "reauth_required", see [Policy.Gauges].
func (k *Keyed) Gauges() iter.Seq[policy.Gauge] {
	return func(yield func(policy.Gauge) bool) {
		lost := 0
		if k.Validate() == nil {
			for _, p := range k.held.policies() {
				n, _ := p.grant.gauge()
				lost += n
			}
		}
		yield(reauthGauge(lost))
	}
}

func reauthGauge(grants int) policy.Gauge {
	return policy.Gauge{Name: "reauth_required", Unit: "{grant}", Value: float64(grants)}
}

// gauge returns 1 if g is lost, and the seconds until its token expires.
func (g *grant) gauge() (lost int, left float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failure != nil && g.failure.outcome == reauthRequired {
		lost = 1
	}
	current := g.current.Load()
	if current == nil || current.token.Expiry.IsZero() {
		return lost, math.NaN()
	}
	return lost, max(0, time.Until(current.token.Expiry).Seconds())
}
