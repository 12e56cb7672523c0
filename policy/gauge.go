package policy

import "log/slog"

// A Gauge is a figure that a policy has at any time, calls or not, such as how many
// circuits are open. Policies that have some have a method
//
//	Gauges() iter.Seq[policy.Gauge]
//
// which gives the same ones each time, with their present values. It is called
// now and then, and must be safe for concurrent use.
type Gauge struct {
	Name  string      // such as "status"; the metric's is "evenkeel.circuit_breaker.status"
	Unit  string      // such as "{circuit}" for a count of things, which add up over replicas, or "s"
	Value float64     // at present; NaN if there is none at present
	Attrs []slog.Attr // what tells it from others of its name
}
