package journal_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

func BenchmarkRun(b *testing.B) {
	double := workflow.NewStep("double", nil, func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	flow := workflow.NewFlow("quadruple", func(r workflow.Run, n int) (int, error) {
		n, err := double.Do(r, n)
		if err != nil {
			return 0, err
		}
		return double.Do(r, n)
	}, double)
	for _, concurrent := range []int{1, 20} {
		b.Run(fmt.Sprintf("%d at a time", concurrent), func(b *testing.B) {
			engine, err := journal.Open(filepath.Join(b.TempDir(), "flows.db"), journal.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer engine.Close()
			if err := flow.On(engine); err != nil {
				b.Fatal(err)
			}
			var started atomic.Int64
			var workers sync.WaitGroup
			b.ReportAllocs()
			for range concurrent {
				workers.Go(func() {
					for n := int(started.Add(1)); n <= b.N; n = int(started.Add(1)) {
						if got, err := flow.Run(b.Context(), engine, strconv.Itoa(n), n); got != 4*n || err != nil {
							b.Error(got, err)
						}
					}
				})
			}
			workers.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
		})
	}
}
