package workflow_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkFlow has flows of two steps run one after the other, and 20 at a time. It is W11 of the report.
// Its time is that of all divided by their number; p50-ns is how long half of them took at most.
func BenchmarkFlow(b *testing.B) {
	for _, e := range engines {
		for _, flows := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s/flows=%d", e.name, flows), func(b *testing.B) {
				var steps atomic.Int64
				run := e.create(b, &steps)
				took := make([]time.Duration, b.N)
				var begun atomic.Int64
				var all sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range flows {
					all.Go(func() {
						for i := begun.Add(1); i <= int64(b.N); i = begun.Add(1) {
							start := time.Now()
							if got, err := run(b.Context(), order{strconv.FormatInt(i, 10), 1250}); got != (receipt{7, 9}) || err != nil {
								b.Error(got, err)
							}
							took[i-1] = time.Since(start)
						}
					})
				}
				all.Wait()
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2]), "p50-ns/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
				if n := steps.Load(); n != int64(2*b.N) {
					b.Errorf("%d steps were carried out, want %d", n, 2*b.N)
				}
			})
		}
	}
}
