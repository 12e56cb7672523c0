package main

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// results of the rounds, each of which is what a run of all benchmarks prints.
func resultsOf(t *testing.T, rounds ...string) *results {
	t.Helper()
	var r *results
	for _, round := range rounds {
		lines, err := parse(strings.NewReader(strings.ReplaceAll(round, "-P", fmt.Sprint("-", runtime.GOMAXPROCS(0)))))
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			r = newResults(lines)
		}
		r.add(lines)
	}
	return r
}

func TestParse(t *testing.T) {
	r := resultsOf(t, `goos: linux
BenchmarkOpen/hand-written-P   	  423234	       311.6 ns/op	     192 B/op	       6 allocs/op
BenchmarkRefresh/evenkeel      	       1	   1000000 ns/op	      1.00 refreshes
PASS
`)
	if got, want := fmt.Sprint(r.names), "[BenchmarkOpen/hand-written BenchmarkRefresh/evenkeel]"; runtime.GOMAXPROCS(0) > 1 && got != want {
		t.Errorf("the names are %s, want %s", got, want)
	}
	if got := r.samples["BenchmarkRefresh/evenkeel"][0]["refreshes"]; got != 1 {
		t.Errorf("there were %v refreshes, want 1", got)
	}
	for _, bad := range []string{"BenchmarkX 1 2 ns/op 3", "BenchmarkX 1 two ns/op"} {
		if _, err := parse(strings.NewReader(bad)); err == nil {
			t.Errorf("parse(%q) has no error", bad)
		}
	}
}

// A round in which everything is slow tells nothing about who is faster, and a lucky one little.
func TestMeasures(t *testing.T) {
	r := resultsOf(t,
		"BenchmarkX/a 1 10 ns/op\nBenchmarkX/b 1 20 ns/op\n",
		"BenchmarkX/a 1 100 ns/op\nBenchmarkX/b 1 200 ns/op\n",
		"BenchmarkX/a 1 11 ns/op\nBenchmarkX/b 1 11 ns/op\n",
	)
	tests := []struct {
		name         string
		m            measure
		best, median float64
	}{
		{"cost", cost("BenchmarkX/a", ns), 10, 11},
		{"ratio", ratio("BenchmarkX/a", "BenchmarkX/b", ns), 10.0 / 11, 0.5},
		{"excess", excess("BenchmarkX/b", "BenchmarkX/a", ns), 1, 10},
		{"of nothing", cost("BenchmarkX/c", ns), math.NaN(), math.NaN()},
	}
	for _, tt := range tests {
		if got := r.best(tt.m); !same(got, tt.best) {
			t.Errorf("%s: the best is %v, want %v", tt.name, got, tt.best)
		}
		if got := r.median(tt.m); !same(got, tt.median) {
			t.Errorf("%s: the median is %v, want %v", tt.name, got, tt.median)
		}
	}
}

func same(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }

func TestSlope(t *testing.T) {
	r := resultsOf(t, "BenchmarkX/n=1 1 30 ns/op\nBenchmarkX/n=4 1 60 ns/op\n")
	if got := r.median(slope("BenchmarkX/n=", 1, 4, ns)); got != 10 {
		t.Errorf("the slope is %v, want 10", got)
	}
}

func TestRatios(t *testing.T) {
	r := resultsOf(t, `BenchmarkToken/oauth2/goroutines=1 1 50 ns/op 0 allocs/op
BenchmarkToken/evenkeel/goroutines=1 1 20 ns/op 0 allocs/op
BenchmarkRefresh/evenkeel/at-once 1 9 ns/op 1 refreshes/op
BenchmarkRefresh/hand-written/at-once 1 9 ns/op 1000 refreshes/op
`)
	var out strings.Builder
	printRatios(&out, r)
	for _, want := range []string{
		"| W8 | Token goroutines=1 | 1 (0) | oauth2 2.50 (0) |\n",
		"| W9 | Refresh at-once | 1 | hand-written 1000 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not tell %q:\n%s", want, &out)
		}
	}
}

// The median decides, and what has not run is left out.
func TestTargets(t *testing.T) {
	const round = "BenchmarkOpen/evenkeel 1 %d ns/op 1 allocs/op\nBenchmarkOpen/gobreaker 1 50 ns/op 0 allocs/op\n"
	for _, tt := range []struct {
		rounds []any // what a call costs in them
		missed int
	}{
		{[]any{80, 90, 500}, 0},
		{[]any{80, 110, 120}, 1},
	} {
		var out strings.Builder
		r := resultsOf(t, fmt.Sprintf(round, tt.rounds[0]), fmt.Sprintf(round, tt.rounds[1]), fmt.Sprintf(round, tt.rounds[2]))
		if missed := printTargets(&out, r); missed != tt.missed {
			t.Errorf("%v ns: %d targets are missed, want %d:\n%s", tt.rounds, missed, tt.missed, &out)
		}
		if n := strings.Count(out.String(), "| W"); n != 2 {
			t.Errorf("it tells of %d targets, want 2:\n%s", n, &out)
		}
	}
}
