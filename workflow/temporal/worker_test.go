package temporal_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/temporal"
)

// TestMain is a worker too, that tests can kill.
func TestMain(m *testing.M) {
	if address := os.Getenv(workerAddress); address != "" {
		if err := work(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	workerAddress = "EVENKEEL_TEST_WORKER_ADDRESS"
	workerTimeout = "EVENKEEL_TEST_WORKER_TIMEOUT"
)

// work works until standard input ends, that is, with its parent at the latest.
func work(address string) error {
	timeout, err := time.ParseDuration(os.Getenv(workerTimeout))
	if err != nil {
		return err
	}
	c, err := client.Dial(client.Options{HostPort: address, Logger: quiet})
	if err != nil {
		return err
	}
	defer c.Close()
	engine := temporal.New(c, crashQueue, crashConfig(timeout))
	if err := crashFlow.On(engine); err != nil {
		return err
	}
	if err := engine.Resume(context.Background()); err != nil {
		return err
	}
	fmt.Println("working")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startWorker starts a worker in a process of its own.
func startWorker(t *testing.T, s *server, timeout time.Duration) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^$")
	cmd.Env = append(cmd.Environ(), workerAddress+"="+s.address, workerTimeout+"="+timeout.String())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		killProcess(cmd)
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "working\n" {
		t.Fatalf("worker says %q, %v; want working", line, err)
	}
	return cmd
}

func killProcess(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// What the worker does: two steps, of which each adds a line to a file, and the second
// hangs for as long as there is another file.
const crashQueue = "crash"

var (
	crashFirst  = workflow.NewStep("first", nil, func(ctx context.Context, dir string) (string, error) { return dir, effect(ctx, dir, "first") })
	crashSecond = workflow.NewStep("second", nil, func(ctx context.Context, dir string) (string, error) {
		if err := effect(ctx, dir, "second"); err != nil {
			return "", err
		}
		if _, err := os.Stat(filepath.Join(dir, "hang")); err == nil {
			<-ctx.Done()
		}
		return "done", ctx.Err()
	})
	crashFlow = workflow.NewFlow("crash", crash, crashFirst, crashSecond)
)

func crash(r workflow.Run, dir string) (string, error) {
	dir, err := crashFirst.Do(r, dir)
	if err != nil {
		return "", err
	}
	return crashSecond.Do(r, dir)
}

func crashConfig(heartbeatTimeout time.Duration) temporal.Config {
	return temporal.Config{HeartbeatTimeout: heartbeatTimeout, Retry: workflow.Retry{InitialInterval: time.Hour}}
}

func effect(ctx context.Context, dir, step string) error {
	f, err := os.OpenFile(filepath.Join(dir, "effects"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, step, workflow.Key(ctx))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// effects returns what the steps have done.
func effects(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "effects"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// hang has the second step hang, and returns what ends that for those that begin later.
func hang(t *testing.T, dir string) (unhang func()) {
	t.Helper()
	file := filepath.Join(dir, "hang")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitEffects waits until steps have done so many things.
func awaitEffects(t *testing.T, dir string, n int) {
	t.Helper()
	for range 600 {
		if len(effects(t, dir)) >= n {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("effects %q, want %d", effects(t, dir), n)
}
