package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// packages have the benchmarks.
var packages = []string{
	"github.com/evenkeel-go/evenkeel/benchmarks",
	"github.com/evenkeel-go/evenkeel/benchmarks/workflow",
}

// binaries are the test binaries of the packages. They are built once, and each turn of a
// contender is a process of its own, so that none has to live with the garbage of others.
type binaries struct {
	dir string
	of  map[string]string // the binary that has a benchmark, by its name
}

func build(ctx context.Context) (binaries, error) {
	dir, err := os.MkdirTemp("", "evenkeel")
	if err != nil {
		return binaries{}, err
	}
	b := binaries{dir, make(map[string]string)}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-c", "-o", dir + "/"}, packages...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		b.remove()
		return binaries{}, fmt.Errorf("building the benchmarks: %w", err)
	}
	return b, nil
}

func (b binaries) remove() { _ = os.RemoveAll(b.dir) }

// measure runs the benchmarks that pattern matches, in rounds, each of them for as long as a turn.
func (b binaries) measure(ctx context.Context, pattern string, rounds int, turn time.Duration) (*results, error) {
	once, err := b.list(ctx, pattern)
	if err != nil {
		return nil, err
	}
	if len(once) == 0 {
		return nil, fmt.Errorf("no benchmark matches %q", pattern)
	}
	r := newResults(once)
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "\rround %d of %d", i+1, rounds)
		for _, name := range r.names {
			lines, err := run(ctx, b.of[name], exactly(name), max(turn, atLeast(name)).String())
			if err != nil {
				return nil, err
			}
			r.add(lines)
		}
	}
	fmt.Fprintln(os.Stderr)
	return r, nil
}

// list runs the benchmarks that pattern matches once.
func (b binaries) list(ctx context.Context, pattern string) (all []line, err error) {
	for _, p := range packages {
		binary := filepath.Join(b.dir, path.Base(p)+".test")
		lines, err := run(ctx, binary, pattern, "1x")
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			b.of[l.name] = binary
		}
		all = append(all, lines...)
	}
	return all, nil
}

// run runs the benchmarks of a binary that pattern matches, and returns what they print.
func run(ctx context.Context, binary, pattern, benchtime string) ([]line, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime="+benchtime)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("benchmarks %s: %w\n%s", pattern, err, out)
	}
	return parse(bytes.NewReader(out))
}

// exactly returns the pattern that matches a benchmark's name and no other.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
