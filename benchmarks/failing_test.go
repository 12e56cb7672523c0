package benchmarks_test

import "testing"

// BenchmarkFailing has each call fail twice and then succeed, with no delay in between, or the
// least that there can be. It is W3 of the report.
func BenchmarkFailing(b *testing.B) {
	for _, l := range libraries {
		if !l.retries {
			continue
		}
		b.Run(l.name, func(b *testing.B) {
			guarded, ctx := l.create(0), b.Context()
			do, done := failing(attempts - 1)
			b.ReportAllocs()
			for b.Loop() {
				*done = 0
				if value, err := guarded(ctx, do); value != 42 || err != nil {
					b.Fatal(value, err)
				}
			}
		})
	}
}
