package breaker_test

import (
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
)

// gauges returns how many circuits are in each state, as metrics show it.
func gauges(p *breaker.Policy) map[string]float64 {
	got := make(map[string]float64)
	for g := range p.Gauges() {
		got[g.Attrs[0].Value.String()] = g.Value
	}
	return got
}

func TestGaugesAreTrueWithoutTraffic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := breaker.New(breaker.Config{OpenFor: time.Second})
		want := func(when string, closed, open, halfOpen float64) {
			t.Helper()
			if got := gauges(p); len(got) != 3 || got["closed"] != closed || got["open"] != open || got["half_open"] != halfOpen {
				t.Errorf("%s: gauges are %v, want closed %v, open %v, half_open %v", when, got, closed, open, halfOpen)
			}
		}
		want("before the first call", 0, 0, 0)
		_ = p.Do(t.Context(), orders, succeed)
		want("after a success", 1, 0, 0)
		trip(t, p)
		want("after failures", 0, 1, 0)
		time.Sleep(time.Second)
		want("after OpenFor", 0, 0, 1)
		_ = repeat(t, 3, p, succeed)
		want("after the probes", 1, 0, 0)
		p.ForceOpen(orders.Key)
		want("forced", 0, 1, 0)
	})
}
