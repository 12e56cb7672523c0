// Package benchmarks puts this library and others to the same work. Its benchmarks measure what that
// costs, and its tests check what the README beside them claims: that the work is the same, and that
// this library keeps certain promises, and that certain versions of others do not.
//
// It has no code of its own. Package report in it runs the benchmarks and compares what they measure.
package benchmarks
