package workflow_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestEnginesDoTheSameWork checks that nobody does less: each step once, results and failures that are there
// for whoever asks again.
func TestEnginesDoTheSameWork(t *testing.T) {
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			var steps atomic.Int64
			run := e.create(t, &steps)
			good, bad := order{"17", 1250}, order{"18", 0}
			for range 2 {
				if got, err := run(t.Context(), good); got != (receipt{7, 9}) || err != nil {
					t.Errorf("run of a good order = %+v, %v, want a receipt", got, err)
				}
				if got, err := run(t.Context(), bad); err == nil || !strings.Contains(err.Error(), errDeclined.Error()) {
					t.Errorf("run of a bad order = %+v, %v, want that the card is declined", got, err)
				}
			}
			if n := steps.Load(); n != 4 {
				t.Errorf("%d steps were carried out, want 2 of each order", n)
			}
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					o := order{fmt.Sprint("of many ", i), 1250}
					if got, err := run(t.Context(), o); got != (receipt{7, 9}) || err != nil {
						t.Errorf("run of %s = %+v, %v, want its receipt", o.ID, got, err)
					}
				})
			}
			all.Wait()
			if n := steps.Load(); n != 4+100 {
				t.Errorf("%d steps were carried out, want 104", n)
			}
		})
	}
}
