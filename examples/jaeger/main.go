// Jaeger sends requests through an outage, for you to look at in Jaeger.
//
// Three services run in this process, on free ports of loopback: a frontend that
// gets orders through a pipeline, the orders API, and the login server whose tokens
// the API wants. The frontend is asked for some orders a second, while the API
// answers 503, hangs, refuses its tokens, and is down for a while. Each request is one
// trace from the frontend on, with what every policy decided, and what the other
// services saw of it.
//
//	docker run --rm -p 16686:16686 -p 4317:4317 -p 4318:4318 cr.jaegertracing.io/jaegertracing/jaeger:latest
//	go run ./examples/jaeger
//
// Traces go to OTEL_EXPORTER_OTLP_ENDPOINT, by OTLP over gRPC. At the end the program
// tells what to search for.
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

func main() {
	var c config
	flag.DurationVar(&c.duration, "duration", cycle, "how long to send requests; every 10s there is an outage")
	flag.IntVar(&c.rps, "rps", 10, "how many requests to send a second, from 1 to 1000")
	flag.StringVar(&c.ui, "ui", "http://localhost:16686", "where Jaeger is in a browser")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "jaeger: unknown argument %q: want flags only\n", flag.Arg(0))
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, c); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "jaeger:", err)
		os.Exit(1)
	}
}

// A config is what the flags say.
type config struct {
	duration time.Duration
	rps      int
	ui       string
}

func (c config) validate() error {
	var errs []error
	if c.duration <= 0 {
		errs = append(errs, fmt.Errorf("invalid -duration %v: want more than 0", c.duration))
	}
	if c.rps < 1 || c.rps > 1000 {
		errs = append(errs, fmt.Errorf("invalid -rps %d: want 1 to 1000", c.rps))
	}
	return errors.Join(errs...)
}

const docker = "docker run --rm -p 16686:16686 -p 4317:4317 -p 4318:4318 cr.jaegertracing.io/jaegertracing/jaeger:latest"

// run sends requests until the time is over or ctx ends, and tells what to look for.
func run(ctx context.Context, w io.Writer, c config) error {
	if err := c.validate(); err != nil {
		return err
	}
	t, err := newTracing(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "To see traces, this has to run somewhere:\n\n  %s\n\nThen open %s.\n\n", docker, c.ui)
	if t.reached {
		fmt.Fprintf(w, "Traces go to %s.\n\n", t.endpoint)
	} else {
		fmt.Fprintf(w, "Nobody listens at %s, so traces are made but sent nowhere.\nStart Jaeger by the command above, and run this again.\n\n", t.endpoint)
	}

	s, err := startShop(ctx, w, t)
	if err != nil {
		return errors.Join(err, t.close())
	}
	results, err := s.play(ctx, w, c)
	s.close()
	err = errors.Join(err, t.close()) // Now all has been sent.
	fmt.Fprintf(w, "\n%v\n\n", results)
	t.found.report(w, c.ui, t.reached)
	return err
}
