package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// ours is the contender that others are compared with.
const ours = "evenkeel"

// A workload is work that several contenders do: a benchmark whose sub-benchmarks they are.
type workload struct {
	number string // "W1"
	name   string // "HappyPath"
	what   string
	unit   string // of what it costs; "ns/op" if there is none
}

var workloads = []workload{
	{number: "W1", name: "HappyPath", what: "retry, breaker and timeout around a function that succeeds"},
	{number: "W2", name: "Parallel", what: "the same, 64 goroutines"},
	{number: "W3", name: "Failing", what: "the same, the function fails twice, no delays"},
	{number: "W4", name: "Open", what: "the same, the circuit is open"},
	{number: "W5", name: "RoundTrip", what: "retry, breaker and timeout around a RoundTripper that answers at once"},
	{number: "W5", name: "Loopback", what: "the same around a connection to a server in the same process", unit: cpu},
	{number: "W6", name: "Tracing", what: "retry, breaker, auth and timeout around a RoundTripper, with six spans"},
	{number: "W7", name: "Alone", what: "one policy around a function that succeeds"},
	{number: "W8", name: "Token", what: "a token that lasts, 1 goroutine and 64"},
	{number: "W9", name: "Refresh", what: "1,000 goroutines whose token was revoked, at once and spread out", unit: refreshes},
	{number: "W10", name: "PassThrough", what: "1, 4 and 16 policies that pass on"},
}

// print prints what the contenders cost, and how often what this library does.
func (w workload) print(out io.Writer, r *results) {
	prefix := "Benchmark" + w.name + "/"
	unit := w.unit
	if unit == "" {
		unit = "ns/op"
	}
	header := fmt.Sprintf("\n### %s %s: %s\n\n| contender | best %s | median %[4]s | allocs | × evenkeel, best | median |\n| :--- | ---: | ---: | ---: | ---: | ---: |\n", w.number, w.name, w.what, unit)
	for _, name := range r.names {
		contender, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		_, _ = io.WriteString(out, header)
		header = ""
		itself, times := cost(name, unit), ratio(name, prefix+inOurPlace(contender), unit)
		fmt.Fprintf(out, "| %s | %s | %s | %s | %.2f | %.2f |\n", contender,
			number(r.best(itself)), number(r.median(itself)), number(r.best(cost(name, "allocs/op"))),
			r.best(times), r.median(times))
	}
}

// inOurPlace returns what this library is called where a contender, which may be several in various
// settings, is called as given.
func inOurPlace(contender string) string {
	_, setting, several := strings.Cut(contender, "/")
	if several {
		return ours + "/" + setting
	}
	return ours
}

// number formats a number with as many digits as tell something.
func number(x float64) string {
	switch {
	case math.IsNaN(x):
		return "" // It was not measured.
	case x < 10:
		return fmt.Sprintf("%.3g", x)
	default:
		return fmt.Sprintf("%.0f", x)
	}
}
