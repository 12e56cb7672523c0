// Workflow places orders: each is reserved, charged and shipped, or else what was done is undone. That
// takes requests to three services, which fail on a script, on loopback.
//
// Each order is a run of a flow, the code of which is in flow.go. It survives whatever happens to the
// process, as a journal keeps what has been done, in a file.
//
//	go run ./examples/workflow
//	go run ./examples/workflow -crash
//
// With -crash, the process that places the orders is killed in the middle of a payment, and started
// again. With -journal orders.db the file is kept; whoever runs the same command again gets what is in
// it, and nothing is done again. With -temporal localhost:7233, the very same flow runs on Temporal, whose
// development server is started by: temporal server start-dev
//
// At the end nothing was done twice, though some of it was asked for twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	var c config
	flag.BoolVar(&c.crash, "crash", false, "kill the process that places the orders, in the middle of a step, and start it again")
	flag.StringVar(&c.journal, "journal", "", "the `file` that remembers what was done; a temporary one if not given")
	flag.StringVar(&c.temporal, "temporal", "", "the `address` of a Temporal server, such as localhost:7233, instead of a journal")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "workflow: unknown argument %q: want flags only\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if text, ok := os.LookupEnv(jobVariable); ok {
		err = do(ctx, os.Stdout, text)
	} else {
		err = run(ctx, os.Stdout, c)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "workflow:", err)
		os.Exit(1)
	}
}

// A config is what the flags say.
type config struct {
	crash             bool
	journal, temporal string
}

// run runs the services and has the orders placed. It returns an error if anything is not as promised.
func run(ctx context.Context, w io.Writer, c config) error {
	if c.journal != "" && c.temporal != "" {
		return errors.New("invalid -journal with -temporal: want one of them")
	}
	if c.journal == "" {
		dir, err := os.MkdirTemp("", "workflow")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // It is a temporary one.
		c.journal = filepath.Join(dir, "orders.db")
	}
	b := board{w, time.Now().Round(0)} // as other processes see the clock
	services, err := startServices(b, script())
	if err != nil {
		return err
	}
	defer services.close()
	j := job{Addresses: services.addresses, Journal: c.journal, Temporal: c.temporal, Began: b.began}
	b.introduce(j)
	if c.crash {
		err = j.crash(ctx, b, services.lost)
	} else {
		err = j.work(ctx, b)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	return services.report(b)
}

// introduce says what is to come.
func (b board) introduce(j job) {
	where := "recorded in " + j.Journal
	if j.Temporal != "" {
		where = "run on Temporal at " + j.Temporal
	}
	fmt.Fprintf(b.w, "Seven orders are placed at once, and %s:\n", where)
	rows := make([][]any, len(orders))
	for i, o := range orders {
		rows[i] = []any{o.ID, o.story}
	}
	b.table(rows)
}

// killAfter is how long the first process lives after an answer got lost. It is still waiting for it then.
const killAfter = 300 * time.Millisecond

// crash has the orders placed by a process that is killed, and by another one after that.
func (j job) crash(ctx context.Context, b board, lost <-chan struct{}) error {
	first, err := start(ctx, b.w, j)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		err = first.Wait()
		close(ended)
	}()
	select {
	case <-lost:
		time.Sleep(killAfter)
	case <-ended:
		return err // It has come to no payment for figs, as there was one before, say.
	}
	_ = first.Process.Kill()
	<-ended
	b.headline(fmt.Sprintf("kill -9 %d, in the middle of a payment for figs", first.Process.Pid))
	second, err := start(ctx, b.w, j)
	if err != nil {
		return err
	}
	b.headline(fmt.Sprintf("process %d is started", second.Process.Pid))
	return second.Wait()
}
