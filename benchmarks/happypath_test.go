package benchmarks_test

import "testing"

// BenchmarkHappyPath has calls succeed at once. It is W1 of the report.
func BenchmarkHappyPath(b *testing.B) {
	for _, l := range libraries {
		b.Run(l.name, func(b *testing.B) {
			guarded, ctx := l.create(interval), b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if value, err := guarded(ctx, succeed); value != 42 || err != nil {
					b.Fatal(value, err)
				}
			}
		})
	}
}
