// Function shows that calls need not be HTTP: a query of a database passes
// through a pipeline. All that policies have to know is what its errors mean,
// which the errors say themselves, in a few lines.
//
//	go run ./examples/function
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
	"github.com/evenkeel-go/evenkeel/waterfall"
)

// An item is a row of the table.
type item struct {
	name  string
	stock int
}

// A conflict is the error of a transaction that lost against another one. It may
// pass, as every error that does not say otherwise. It was rolled back, so even a
// call that must not take effect twice may be repeated.
type conflict struct{}

func (conflict) Error() string     { return "could not serialize access" }
func (conflict) NoEffect() bool    { return true }
func (conflict) ErrorType() string { return "conflict" }

// What is not there will not be there next time either.
var errNoRow = policy.WithClass(errors.New("no such row"), policy.Permanent)

// A database fails its first query, as busy ones do.
type database struct {
	items   map[int]item
	queries int
}

func (db *database) query(ctx context.Context, id int) (item, error) {
	if err := ctx.Err(); err != nil {
		return item{}, err
	}
	if db.queries++; db.queries == 1 {
		return item{}, conflict{}
	}
	row, ok := db.items[id]
	if !ok {
		return item{}, errNoRow
	}
	return row, nil
}

func main() {
	tracing := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(waterfall.New(os.Stdout, waterfall.Config{})))
	p := pipeline.Must(pipeline.New("inventory",
		timeout.New(timeout.Config{Limit: time.Second}),
		retry.New(retry.Config{InitialInterval: 5 * time.Millisecond}),
		breaker.New(breaker.Config{}),
	)).WithTracerProvider(tracing)

	db := &database{items: map[int]item{1: {"keel", 3}}}
	find := func(id int) (item, error) {
		call := policy.Call{Name: "items.find", Key: "inventory-db", Once: true}
		return pipeline.RunCall(context.Background(), p, call, func(ctx context.Context, _ policy.Call) (item, error) {
			return db.query(ctx, id)
		})
	}
	for id := 1; id <= 2; id++ {
		found, err := find(id)
		fmt.Printf("item %d: %+v, error: %v\n\n", id, found, err)
	}
}
