package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A binary is the test binary that has the benchmarks. It is built once, and each turn of a
// contender is a process of its own, so that none has to live with the garbage of others.
type binary struct{ path string }

func build(ctx context.Context) (binary, error) {
	dir, err := os.MkdirTemp("", "evenkeel")
	if err != nil {
		return binary{}, err
	}
	b := binary{filepath.Join(dir, "benchmarks.test")}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", b.path, "github.com/evenkeel-go/evenkeel/benchmarks")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		b.remove()
		return binary{}, fmt.Errorf("building the benchmarks: %w", err)
	}
	return b, nil
}

func (b binary) remove() { _ = os.RemoveAll(filepath.Dir(b.path)) }

// measure runs the benchmarks that pattern matches, in rounds, each of them for as long as a turn.
func (b binary) measure(ctx context.Context, pattern string, rounds int, turn time.Duration) (*results, error) {
	once, err := b.run(ctx, pattern, "1x")
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
			lines, err := b.run(ctx, exactly(name), turn.String())
			if err != nil {
				return nil, err
			}
			r.add(lines)
		}
	}
	fmt.Fprintln(os.Stderr)
	return r, nil
}

// run runs the benchmarks that pattern matches, and returns what they print.
func (b binary) run(ctx context.Context, pattern, benchtime string) ([]line, error) {
	cmd := exec.CommandContext(ctx, b.path, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime="+benchtime)
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
