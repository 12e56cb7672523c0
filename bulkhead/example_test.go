package bulkhead_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

func Example() {
	p := pipeline.Must(pipeline.New("reports", bulkhead.New(bulkhead.Config{Slots: 2})))

	began, finish := make(chan struct{}), make(chan struct{})
	render := func(context.Context) (string, error) {
		began <- struct{}{}
		<-finish // takes its time
		return "report", nil
	}
	var two sync.WaitGroup
	for range 2 {
		two.Go(func() { _, _ = pipeline.Run(context.Background(), p, "reports.render", render) })
		<-began
	}
	_, err := pipeline.Run(context.Background(), p, "reports.render", render)
	fmt.Println(err)
	fmt.Println(errors.Is(err, bulkhead.ErrFull))

	close(finish)
	two.Wait()
	// Output:
	// bulkhead: full: 2 of 2 slots are taken
	// true
}

// With a MaxWait, calls take turns.
func ExampleConfig_maxWait() {
	p := pipeline.Must(pipeline.New("reports", bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Minute})))

	running := 0
	render := func(context.Context) (string, error) {
		running++ // needs no lock
		defer func() { running-- }()
		return fmt.Sprint("one of ", running), nil
	}
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { fmt.Println(pipeline.Run(context.Background(), p, "reports.render", render)) })
	}
	all.Wait()
	// Output:
	// one of 1 <nil>
	// one of 1 <nil>
	// one of 1 <nil>
}
