//go:build !race

package benchmarks_test

const raced = false
