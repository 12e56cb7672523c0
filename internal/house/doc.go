// Package house holds the tests of the house rules: which package may import which,
// what the modules require, and that the README shows only code that compiles.
// It has no code of its own.
package house
