package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A job is what a process is told to do. One that is started again is told the same.
type job struct {
	Addresses map[string]string // of the services
	Journal   string            // a file, or
	Temporal  string            // host:port
	Began     time.Time
}

// work has all orders placed: new ones, those that were interrupted, and those that were placed before,
// whose results are known. It does the same in each process.
func (j job) work(ctx context.Context, b board) (err error) {
	addresses = j.Addresses
	defer network.CloseIdleConnections()
	startTracing()
	engine, err := open(j)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if err := Place.On(engine); err != nil {
		return err
	}
	left, err := b.runs(ctx, engine, "what the operator sees of earlier runs")
	if err != nil {
		return err
	}
	if err := engine.Resume(ctx); err != nil {
		return err
	}
	if err := placeAll(ctx, engine, b, !left); err != nil {
		return err
	}
	b.traces("figs", "plums")
	return nil
}

// lookAfter is when the operator has a look.
const lookAfter = 200 * time.Millisecond

func placeAll(ctx context.Context, engine workflow.Engine, b board, look bool) error {
	errs := make([]error, len(orders)+1)
	var all sync.WaitGroup
	for i, o := range orders {
		all.Go(func() { errs[i] = o.place(ctx, engine, b) })
	}
	if look {
		all.Go(func() {
			time.Sleep(lookAfter)
			_, errs[len(orders)] = b.runs(ctx, engine, "what the operator sees")
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// place places an order, and shows what has become of it.
func (o scripted) place(ctx context.Context, engine workflow.Engine, b board) error {
	receipt, err := Place.Run(ctx, engine, o.ID, o.Order)
	failure, failed := errors.AsType[*workflow.Failure](err)
	switch {
	case err != nil && !failed:
		return err
	case failed != o.fails:
		return fmt.Errorf("%s: failed is %v, want %v: %w", o.ID, failed, o.fails, err)
	case failed:
		b.say(o.ID, "", "✗ "+failure.Error())
	default:
		b.say(o.ID, "", fmt.Sprintf("✓ payment %d, parcel %d", receipt.Payment, receipt.Parcel))
	}
	return nil
}
