//go:build race

package benchmarks_test

// raced says that the race detector is on, under which more is allocated.
const raced = true
