package main

import (
	"fmt"
	"io"
	"math"
)

// A target is what something may measure at most.
type target struct {
	workload string
	what     string
	limit    float64
	measure  measure
}

const (
	ns     = "ns/op"
	cpu    = "cpu-ns/op" // of the processors
	allocs = "allocs/op"

	refreshes = "refreshes/op"
	half      = "p50-ns/op" // took no longer

	w1  = "BenchmarkHappyPath/"
	w2  = "BenchmarkParallel/"
	w3  = "BenchmarkFailing/"
	w4  = "BenchmarkOpen/"
	w5  = "BenchmarkRoundTrip/"
	w5s = "BenchmarkLoopback/"
	w6  = "BenchmarkTracing/"
	w8  = "BenchmarkToken/"
	w9  = "BenchmarkRefresh/"
	w10 = "BenchmarkPassThrough/"
	w11 = "BenchmarkFlow/"
)

var targets = []target{
	{"W1", "time, × hand-written", 0.40, ratio(w1+ours, w1+"hand-written", ns)},
	{"W1", "time, × failsafe-go", 0.25, ratio(w1+ours, w1+"failsafe-go", ns)},
	{"W1", "allocations", 2, cost(w1+ours, allocs)},
	{"W2", "time, × gobreaker alone", 1.3, ratio(w2+ours, w2+"gobreaker", ns)},
	{"W3", "time, × hand-written", 0.5, ratio(w3+ours, w3+"hand-written", ns)},
	{"W4", "time, × gobreaker alone", 2, ratio(w4+ours, w4+"gobreaker", ns)},
	{"W4", "time, × hand-written", 0.3, ratio(w4+ours, w4+"hand-written", ns)},
	{"W4", "allocations", 1, cost(w4+ours, allocs)},
	{"W5", "time, × hand-written", 0.5, ratio(w5+ours, w5+"hand-written", ns)},
	{"W5", "time, × failsafe-go", 0.25, ratio(w5+ours, w5+"failsafe-go", ns)},
	{"W5", "processor time on loopback, × raw", 1.06, ratio(w5s+ours, w5s+"raw", cpu)},
	{"W6", "ns without an SDK, over untraced", 300, excess(w6+ours+"/no-SDK", w6+ours+"/off", ns)},
	{"W6", "allocations without an SDK, over untraced", 3, excess(w6+ours+"/no-SDK", w6+ours+"/off", allocs)},
	{"W6", "time sampled, × hand-written", 0.6, ratio(w6+ours+"/sampled", w6+"hand-written/sampled", ns)},
	{"W8", "time, × atomic pointer", 2, ratio(w8+ours+"/goroutines=1", w8+"atomic-pointer/goroutines=1", ns)},
	{"W8", "time at 64 goroutines, × atomic pointer", 2, ratio(w8+ours+"/goroutines=64", w8+"atomic-pointer/goroutines=64", ns)},
	{"W8", "time at 64 goroutines, × at 1", 1, ratio(w8+ours+"/goroutines=64", w8+ours+"/goroutines=1", ns)},
	{"W8", "allocations", 0, cost(w8+ours+"/goroutines=1", allocs)},
	{"W9", "refreshes at once", 1, cost(w9+ours+"/at-once", refreshes)},
	{"W9", "refreshes spread out", 1, cost(w9+ours+"/spread-out", refreshes)},
	{"W10", "ns of each further policy", 10, slope(w10+ours+"/policies=", 1, 16, ns)},
	{"W10", "ns of each of the last 12", 10, slope(w10+ours+"/policies=", 4, 16, ns)},
	{"W10", "allocations of each further policy", 0, slope(w10+ours+"/policies=", 1, 16, allocs)},
	{"W11", "time at 20 flows, × dbos", 1.0 / 3, ratio(w11+ours+"/flows=20", w11+"dbos/flows=20", ns)},
	{"W11", "time at 20 flows, × dbos-synced", 1.0 / 3, ratio(w11+ours+"/flows=20", w11+"dbos-synced/flows=20", ns)},
	{"W11", "ns that half of the flows in memory take", 10_000, cost(w11+"evenkeel-memory/flows=1", half)},
}

// printTargets prints the targets whose benchmarks have run, and returns how many are missed.
func printTargets(out io.Writer, r *results) (missed int) {
	fmt.Fprint(out, "\n### Targets\n\n| workload | what | best | median | at most | |\n| :--- | :--- | ---: | ---: | ---: | :--- |\n")
	for _, t := range targets {
		best, median := r.best(t.measure), r.median(t.measure)
		if math.IsNaN(median) {
			continue
		}
		verdict := "pass"
		if median > t.limit {
			verdict = "FAIL"
			missed++
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", t.workload, t.what, number(best), number(median), number(t.limit), verdict)
	}
	return missed
}
