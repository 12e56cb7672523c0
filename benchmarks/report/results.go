package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A sample is what a benchmark measured in a round, by unit: "ns/op", "allocs/op".
type sample map[string]float64

// A line is one that a benchmark prints.
type line struct {
	name   string // "BenchmarkOpen/evenkeel"
	sample sample
}

// parse reads the lines of benchmarks, and leaves out what else there is.
func parse(r io.Reader) ([]line, error) {
	var lines []line
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		l := line{strings.TrimSuffix(fields[0], fmt.Sprint("-", runtime.GOMAXPROCS(0))), make(sample)}
		for pair := range slices.Chunk(fields[2:], 2) {
			value, err := strconv.ParseFloat(pair[0], 64)
			if err != nil || len(pair) < 2 {
				return nil, fmt.Errorf("invalid line of a benchmark %q: want pairs of a number and a unit", scanner.Text())
			}
			l.sample[pair[1]] = value
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

// results are what all benchmarks measured in all rounds.
type results struct {
	names   []string // in the order in which they run
	samples map[string][]sample
}

func newResults(lines []line) *results {
	r := &results{samples: make(map[string][]sample)}
	for _, l := range lines {
		r.names = append(r.names, l.name)
	}
	return r
}

func (r *results) add(lines []line) {
	for _, l := range lines {
		r.samples[l.name] = append(r.samples[l.name], l.sample)
	}
}

// A measure computes something from what benchmarks cost.
type measure func(cost func(name, unit string) float64) float64

// best returns what m is for the best round of each benchmark, which is NaN if one has not run.
func (r *results) best(m measure) float64 {
	return m(func(name, unit string) float64 {
		best := math.NaN()
		for _, s := range r.samples[name] {
			if cost, ok := s[unit]; ok && !(cost >= best) {
				best = cost
			}
		}
		return best
	})
}

// median returns the median of what m is in each round.
func (r *results) median(m measure) float64 {
	var rounds []float64
	for i := range r.rounds() {
		rounds = append(rounds, m(func(name, unit string) float64 {
			if samples := r.samples[name]; i < len(samples) {
				if cost, ok := samples[i][unit]; ok {
					return cost
				}
			}
			return math.NaN()
		}))
	}
	return median(rounds)
}

func (r *results) rounds() int {
	most := 0
	for _, samples := range r.samples {
		most = max(most, len(samples))
	}
	return most
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	half := len(values) / 2
	if len(values)%2 == 1 {
		return values[half]
	}
	return (values[half-1] + values[half]) / 2
}

// cost is what a benchmark costs in the given unit.
func cost(name, unit string) measure {
	return func(cost func(name, unit string) float64) float64 { return cost(name, unit) }
}

// ratio is the quotient of what two benchmarks cost in the given unit.
func ratio(name, other, unit string) measure {
	return func(cost func(name, unit string) float64) float64 { return cost(name, unit) / cost(other, unit) }
}

// excess is what a benchmark costs more than another in the given unit.
func excess(name, other, unit string) measure {
	return func(cost func(name, unit string) float64) float64 { return cost(name, unit) - cost(other, unit) }
}

// slope is what each further policy costs, between the benchmarks whose names end with the numbers.
func slope(name string, from, to int, unit string) measure {
	return func(cost func(name, unit string) float64) float64 {
		more := cost(name+strconv.Itoa(to), unit) - cost(name+strconv.Itoa(from), unit)
		return more / float64(to-from)
	}
}
