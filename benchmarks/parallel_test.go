package benchmarks_test

import (
	"runtime"
	"testing"
)

// goroutines is how many of them work in parallel, or a few more if that is no multiple of the
// processors.
const goroutines = 64

// inParallel has a number of goroutines do the same all the time.
func inParallel(b *testing.B, do func() error) {
	procs := runtime.GOMAXPROCS(0)
	b.SetParallelism((goroutines + procs - 1) / procs)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkParallel has 64 goroutines make calls that succeed at once, under one guard. It is W2 of
// the report.
func BenchmarkParallel(b *testing.B) {
	for _, l := range libraries {
		b.Run(l.name, func(b *testing.B) {
			guarded, ctx := l.create(interval), b.Context()
			inParallel(b, func() error {
				_, err := guarded(ctx, succeed)
				return err
			})
		})
	}
}
