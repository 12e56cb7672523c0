package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// ours is the contender that others are compared with.
const ours = "evenkeel"

// A workload is work that several contenders do: a benchmark whose sub-benchmarks they are.
type workload struct {
	number string // "W1"
	name   string // "HappyPath"
	what   string
	unit   string        // of what it costs
	turn   time.Duration // how long a turn takes at least
}

var workloads = []workload{
	{number: "W1", name: "HappyPath", what: "retry, breaker and timeout around a function that succeeds", unit: ns},
	{number: "W2", name: "Parallel", what: "the same, 64 goroutines", unit: ns},
	{number: "W3", name: "Failing", what: "the same, the function fails twice, no delays", unit: ns},
	{number: "W4", name: "Open", what: "the same, the circuit is open", unit: ns},
	{number: "W5", name: "RoundTrip", what: "retry, breaker and timeout around a RoundTripper that answers at once", unit: ns},
	{number: "W5", name: "Loopback", what: "the same around a connection to a server in the same process", unit: cpu},
	{number: "W6", name: "Tracing", what: "retry, breaker, auth and timeout around a RoundTripper, with six spans", unit: ns},
	{number: "W7", name: "Alone", what: "one policy around a function that succeeds", unit: ns},
	{number: "W8", name: "Token", what: "a token that lasts, 1 goroutine and 64", unit: ns},
	{number: "W9", name: "Refresh", what: "1,000 goroutines whose token was revoked, at once and spread out", unit: refreshes},
	{number: "W10", name: "PassThrough", what: "1, 4 and 16 policies that pass on", unit: ns},
	{number: "W11", name: "Flow", what: "flows of two steps, one after the other and 20 at a time", unit: ns, turn: 200 * time.Millisecond},
}

// atLeast returns how long a turn of a benchmark takes at least.
func atLeast(benchmark string) time.Duration {
	for _, w := range workloads {
		if strings.HasPrefix(benchmark, w.prefix()) {
			return w.turn
		}
	}
	return 0
}

// A contender is one of those who do a workload, in one of the settings that this may have.
type contender struct {
	benchmark string // "BenchmarkToken/oauth2/goroutines=64"
	name      string // "oauth2"
	setting   string // "goroutines=64"
}

func (w workload) contenders(r *results) []contender {
	var contenders []contender
	for _, benchmark := range r.names {
		if rest, ok := strings.CutPrefix(benchmark, w.prefix()); ok {
			name, setting, _ := strings.Cut(rest, "/")
			contenders = append(contenders, contender{benchmark, name, setting})
		}
	}
	return contenders
}

func (w workload) prefix() string { return "Benchmark" + w.name + "/" }

// times is how often a contender costs what this library does in the same setting.
func (w workload) times(c contender) measure {
	own := w.prefix() + ours
	if c.setting != "" {
		own += "/" + c.setting
	}
	return ratio(c.benchmark, own, w.unit)
}

// print prints what the contenders cost.
func (w workload) print(out io.Writer, r *results) {
	contenders := w.contenders(r)
	if len(contenders) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s %s: %s\n\n", w.number, w.name, w.what)
	fmt.Fprintf(out, "| contender | best %[1]s | median %[1]s | allocs | × evenkeel, best | median |\n", w.unit)
	fmt.Fprint(out, "| :--- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, c := range contenders {
		name, itself, times := strings.TrimPrefix(c.benchmark, w.prefix()), cost(c.benchmark, w.unit), w.times(c)
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", name, number(r.best(itself)), number(r.median(itself)),
			number(r.best(cost(c.benchmark, allocs))), number(r.best(times)), number(r.median(times)))
	}
}

// printRatios prints what holds on any machine: for each workload and setting how often the others
// cost what this library does, by the median, and how many allocations they make.
func printRatios(out io.Writer, r *results) {
	fmt.Fprint(out, "\n### Ratios\n\n| | work | evenkeel | others |\n| :--- | :--- | :--- | :--- |\n")
	for _, w := range workloads {
		var settings []string
		own, others := make(map[string]string), make(map[string][]string)
		for _, c := range w.contenders(r) {
			if c.name == ours {
				settings = append(settings, c.setting)
				own[c.setting] = "1" + inParentheses(r.best(cost(c.benchmark, allocs)))
				continue
			}
			text := c.name + " " + number(r.median(w.times(c))) + inParentheses(r.best(cost(c.benchmark, allocs)))
			others[c.setting] = append(others[c.setting], text)
		}
		for _, setting := range settings {
			work := strings.TrimSpace(w.name + " " + setting)
			fmt.Fprintf(out, "| %s | %s | %s | %s |\n", w.number, work, own[setting], strings.Join(others[setting], ", "))
		}
	}
}

func inParentheses(x float64) string {
	if math.IsNaN(x) {
		return ""
	}
	return " (" + number(x) + ")"
}

// number formats a number with as many digits as tell something.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return "" // It was not measured.
	case x == math.Trunc(x), math.Abs(x) >= 100:
		return fmt.Sprintf("%.0f", x)
	case math.Abs(x) >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}
