// Package benchmarks puts this library and others to the same work. Its tests check what the README
// beside them claims: that this library keeps certain promises, and that certain versions of others
// do not.
//
// It has no code of its own.
package benchmarks
