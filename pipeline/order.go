package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Warnings names what is hazardous about the order of the policies, those of nested
// pipelines included, each with the reason and with what to do instead. There is none
// for most pipelines, and none that keeps a pipeline from working: what cannot work,
// [New] refuses. They are for the log of a program that starts, or for its tests.
//
// It knows policies by their Type, see [policy.Policy], and asks a "retry" for its
// MaxAttempts() int, a "timeout" for its Limit() time.Duration, a "hedge" for its
// MaxHedges() int, a "breaker" for its ConsecutiveFailures() int, an "auth" whether it has
// tokens PerKey() bool, and a "coalesce" whether it HasKey() bool, if they have such a
// method.
func (p *Pipeline) Warnings() []string {
	if p == nil {
		return nil
	}
	var warnings []string
	places := places(p.policies, "")
	for i, outer := range places {
		for j := i + 1; j < len(places); j++ {
			if why := hazard(outer, places[j], places[i+1:j]); why != "" {
				warnings = append(warnings, fmt.Sprintf("pipeline %q: %s outside of %s: %s", p.name, outer.title, places[j].title, why))
			}
		}
	}
	return warnings
}

// A place is that of a policy in a pipeline, those of nested pipelines laid open.
type place struct {
	title  string
	kind   string
	policy policy.Policy // what casts a shadow, not the shadow
}

func places(policies []policy.Policy, prefix string) []place {
	var all []place
	for i, p := range policies {
		number := fmt.Sprintf("%s%d", prefix, i+1)
		if inner, ok := p.(*Pipeline); ok && inner != nil {
			all = append(all, places(inner.policies, number+".")...)
		} else if !isMissing(p) {
			all = append(all, place{fmt.Sprintf("policy %s %q", number, p.Name()), kindOf(p), cast(p)})
		}
	}
	return all
}

// cast returns what p is a shadow of, or p itself.
func cast(p policy.Policy) policy.Policy {
	if s, ok := p.(interface{ Unwrap() policy.Policy }); ok && !isNil(p) {
		return cast(s.Unwrap())
	}
	return p
}

func isMissing(p policy.Policy) bool { return isNil(cast(p)) }

// hazards says what is wrong with an order of two kinds of policies, the outer one
// first.
var hazards = map[[2]string]string{
	{"breaker", "retry"}:    "the circuit does not see the failures that the retry hides, and ends no attempts when it opens; list the retry before the breaker",
	{"retry", "fallback"}:   "what the fallback settles is not retried; list the fallback before the retry",
	{"breaker", "fallback"}: "the circuit does not see the failures that the fallback hides; list the fallback before the breaker",
	{"hedge", "coalesce"}:   "a hedge joins the execution that it is to overtake; list the coalesce before the hedge",
	{"throttle", "retry"}:   "the throttle does not see the refusals that the retry hides; list the retry before the throttle",
	{"limit", "retry"}:      "the limit takes the delays of the retry for the latency of the server; list the retry before the limit",
}

// hazard returns what is wrong with the order of two policies and those between
// them, or "".
func hazard(outer, inner place, between []place) string {
	switch [2]string{outer.kind, inner.kind} {
	case [2]string{"retry", "retry"}:
		return multiplied(outer.policy, inner.policy)
	case [2]string{"hedge", "breaker"}:
		return tripped(outer.policy, inner.policy)
	case [2]string{"coalesce", "auth"}:
		return mixed(outer.policy, inner.policy)
	case [2]string{"timeout", "timeout"}:
		if slices.ContainsFunc(between, func(p place) bool { return p.kind == "retry" }) {
			return exhausted(outer.policy, inner.policy)
		}
	}
	return hazards[[2]string{outer.kind, inner.kind}]
}

// multiplied returns what is wrong with two retries.
func multiplied(outer, inner policy.Policy) string {
	const fix = "; keep the one that is closest to what fails"
	a, okA := outer.(interface{ MaxAttempts() int })
	b, okB := inner.(interface{ MaxAttempts() int })
	switch {
	case !okA || !okB:
		return "their attempts multiply" + fix
	case a.MaxAttempts() > 1 && b.MaxAttempts() > 1:
		return fmt.Sprintf("their attempts multiply, %d × %d of each call%s", a.MaxAttempts(), b.MaxAttempts(), fix)
	default:
		return ""
	}
}

// exhausted returns what is wrong with the timeouts of a retried call and of its
// attempts.
func exhausted(total, attempt policy.Policy) string {
	t, okT := total.(interface{ Limit() time.Duration })
	a, okA := attempt.(interface{ Limit() time.Duration })
	if !okT || !okA || t.Limit() > a.Limit() {
		return ""
	}
	return fmt.Sprintf("an attempt that times out after %v leaves nothing of the call's %v for a second one; give the attempt less than half of it", a.Limit(), t.Limit())
}

// tripped returns what is wrong with a hedge of calls to a circuit that opens sooner than
// that. Those that lost count for nothing, but if none is answered all have failed.
func tripped(hedge, breaker policy.Policy) string {
	attempts := 2
	if h, ok := hedge.(interface{ MaxHedges() int }); ok {
		attempts = 1 + h.MaxHedges()
	}
	b, ok := breaker.(interface{ ConsecutiveFailures() int })
	if !ok || b.ConsecutiveFailures() > attempts {
		return ""
	}
	return fmt.Sprintf("a single call, of which all %d attempts fail, opens the circuit, for which %d failures in a row are enough; list the breaker before the hedge, or let it take more", attempts, b.ConsecutiveFailures())
}

// mixed returns what is wrong with executions that are shared by callers whom an auth
// tells apart.
func mixed(coalesce, auth policy.Policy) string {
	a, ok := auth.(interface{ PerKey() bool })
	if !ok || !a.PerKey() {
		return ""
	}
	if c, ok := coalesce.(interface{ HasKey() bool }); ok && c.HasKey() {
		return ""
	}
	return "a call may get what another one was given on behalf of somebody else; list the auth before the coalesce, or have the Key of the coalesce tell them apart"
}

// held are the kinds of policies that a call holds something of (a probe, a slot,
// its place as the leader) while it is further in.
var held = []string{"breaker", "bulkhead", "limit", "coalesce"}

// impossible returns what cannot work about the order of policies: a call that comes to a
// policy a second time would be refused for what it holds itself, or wait for it for
// ever.
func impossible(policies []policy.Policy) []error {
	var errs []error
	places := places(policies, "")
	for i, inner := range places {
		if !slices.Contains(held, inner.kind) {
			continue
		}
		if j := slices.IndexFunc(places[:i], func(outer place) bool { return isSame(outer.policy, inner.policy) }); j >= 0 {
			errs = append(errs, prefixed(inner.title, errors.New("is "+places[j].title+" once more, so that calls would stand in their own way: want another one made with New"))...)
		}
	}
	return errs
}

// isSame is a == b for policies whose types may not be comparable.
func isSame(a, b policy.Policy) (ok bool) {
	defer func() { _ = recover() }()
	return a == b
}
