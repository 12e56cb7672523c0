// Report runs the benchmarks in interleaved rounds, so that all contenders suffer alike from a noisy
// machine, prints what each of them costs, and checks the targets. It exits with status 1 if one is
// missed.
//
//	go run ./benchmarks/report                         # from the root: everything
//	go run ./benchmarks/report -run 'HappyPath|Open'   # some workloads, by the names of their benchmarks
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

var errMissed = errors.New("targets are missed")

func main() {
	rounds := flag.Int("rounds", 20, "how often each contender has its turn")
	run := flag.String("run", ".", "the benchmarks to run, a `regexp` as for go test -bench")
	turn := flag.Duration("time", 50*time.Millisecond, "how long each turn takes")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := report(ctx, os.Stdout, *run, *rounds, *turn); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// report prints a report of the benchmarks that run matches.
func report(ctx context.Context, w io.Writer, run string, rounds int, turn time.Duration) error {
	if rounds < 1 {
		return fmt.Errorf("invalid -rounds %d: want at least 1", rounds)
	}
	b, err := build(ctx)
	if err != nil {
		return err
	}
	defer b.remove()
	results, err := b.measure(ctx, run, rounds, turn)
	if err != nil {
		return err
	}
	for _, workload := range workloads {
		workload.print(w, results)
	}
	printRatios(w, results)
	if missed := printTargets(w, results); missed > 0 {
		return fmt.Errorf("%d %w", missed, errMissed)
	}
	return nil
}
