package limit

import "math"

// The parameters that nobody has to choose, see the package's documentation.
const (
	minHeadroom = 4
	smoothing   = 0.2
	probeAfter  = 20 // windows that look like a queue
)

// An estimate is how many calls at a time a server can take. Latencies are in
// nanoseconds, and 0 if they are not known.
type estimate struct {
	config  *Config
	limit   float64
	base    float64 // the latency without a queue
	latency float64 // that of the last window
	queued  int     // windows since the last probe that looked like a queue
	probing bool    // whether the limit is lowered to have no queue
}

// allowed returns how many calls may be in flight.
func (e *estimate) allowed() int64 {
	if e.probing {
		return int64(e.lowered())
	}
	return int64(e.limit)
}

// lowered returns the limit of a probe. It is half of what the server can take, unless
// base is wrong; if it is too high by a factor, it is so by half of that after a probe.
func (e *estimate) lowered() float64 {
	return max(e.limit*e.share(), float64(e.config.Min))
}

func (e *estimate) share() float64 { return 1 / (2 * e.config.Tolerance) }

// update learns from a window.
func (e *estimate) update(w *window) {
	latency := float64(w.latency())
	if e.probing {
		e.probed(latency)
		return
	}
	e.latency = latency
	if latency > 0 {
		e.rebase(latency)
	}
	if float64(w.peak) < e.limit/2 {
		return // It is not by the limit that calls are limited.
	}
	gradient := e.gradient(latency)
	if gradient < 1 {
		e.queued++
	}
	e.probing = e.queued >= probeAfter
	e.approach(gradient*(1-w.refusals())*e.limit + max(minHeadroom, math.Sqrt(e.limit)))
}

// rebase lowers the base to a latency that is less, which it approaches in steps: of
// latencies that vary the least is too little.
func (e *estimate) rebase(latency float64) {
	switch {
	case e.base == 0:
		e.base = latency
	case latency < e.base:
		e.base += smoothing * (latency - e.base)
	}
}

// probed learns from a window in which the limit was lowered.
func (e *estimate) probed(latency float64) {
	before := e.latency
	e.probing, e.queued, e.latency = false, 0, latency
	switch {
	case latency == 0:
	case e.gradient(latency) < 1 && latency < before*(1+e.share())/2:
		// It was a queue, and still is one: the lowered limit gets as much done.
		e.limit, e.probing = e.lowered(), true
	default:
		e.base = latency
	}
}

// gradient returns by how much the limit would have to be less for latency to be
// tolerable, if it comes from a queue.
func (e *estimate) gradient(latency float64) float64 {
	if latency == 0 {
		return 1
	}
	return min(1, e.config.Tolerance*e.base/latency)
}

// approach sets the limit to target if that is more, and else goes a part of the way.
func (e *estimate) approach(target float64) {
	if target < e.limit {
		target = e.limit + smoothing*(max(target, e.limit/2)-e.limit)
	}
	e.limit = min(max(target, float64(e.config.Min)), float64(e.config.Max))
}
