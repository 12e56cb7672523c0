package journal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

// A full disk fails what cannot be recorded, and nothing else. When there is space again, all
// goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	carried := make(map[int]int)
	fill := workflow.NewStep("fill", nil, func(_ context.Context, n int) (string, error) {
		carried[n]++
		return strings.Repeat("x", 20_000), nil
	})
	flow := workflow.NewFlow("fill", func(r workflow.Run, n int) (int, error) {
		text, err := fill.Do(r, n)
		return n + len(text), err
	}, fill)
	path, ballast := filepath.Join(dir, "flows.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 500_000), 0o600); err != nil {
		t.Fatal(err)
	}
	e := open(t, path, journal.Config{}, flow)
	n, err := 0, error(nil)
	for ; err == nil; n++ {
		if n > 1000 {
			t.Fatal("the disk does not get full")
		}
		_, err = flow.Run(t.Context(), e, fmt.Sprint(n), n)
	}
	n--
	if _, failed := errors.AsType[*workflow.Failure](err); failed || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "journal: "+path+": write: no space left on device") {
		t.Errorf("Run() = %v, want that there is no space left, and where", err)
	}
	for range 3 {
		if _, err := flow.Run(t.Context(), e, "large", n+1); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Run() = %v, want that there is no space left", err)
		}
	}
	wants(t, e, flow, "0", 0, 20_000) // what is recorded, is
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Resume(t.Context()); err != nil {
			t.Errorf("Resume() = %v, want nil", err)
		}
		for i := range n + 1 {
			wants(t, e, flow, fmt.Sprint(i), i, i+20_000)
			if want := 1; i < n && carried[i] != want {
				t.Errorf("step of run %d was carried out %d times, want once", i, carried[i])
			}
		}
		e.Close()
		e = open(t, path, journal.Config{}, flow)
	}
}
