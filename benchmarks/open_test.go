package benchmarks_test

import (
	"errors"
	"testing"
)

// BenchmarkOpen has an open circuit reject calls. It is W4 of the report.
func BenchmarkOpen(b *testing.B) {
	for _, l := range libraries {
		if l.open == nil {
			continue
		}
		b.Run(l.name, func(b *testing.B) {
			ctx := b.Context()
			guarded := opened(ctx, l.create)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := guarded(ctx, succeed); !errors.Is(err, l.open) {
					b.Fatal(err)
				}
			}
		})
	}
}
