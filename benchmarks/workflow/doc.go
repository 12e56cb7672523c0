// Package workflow has the same flow run by this library's engines and by DBOS. It is a module of its own, as
// DBOS takes many others, and has nothing but benchmarks and tests.
package workflow
