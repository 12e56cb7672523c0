package fleet_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A replica is a process that carries out an order.
type replica struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // ends it, as the end of the test does
	ended chan error
}

// startReplica starts a process that reports to the record.
func startReplica(t *testing.T, o order, to *record) *replica {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(cmd.Environ(), orderVariable+"="+string(text))
	cmd.Stderr = t.Output()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &replica{name: o.Replica, cmd: cmd, stdin: stdin, ended: make(chan error, 1)}
	over := make(chan struct{})
	go func() {
		defer close(over)
		err := to.read(o.Replica, stdout)
		if waitErr := cmd.Wait(); err == nil {
			err = waitErr
		}
		r.ended <- err
	}()
	t.Cleanup(func() { <-over })
	return r
}

// kill kills r, which has no chance to do anything about it (SIGKILL).
func (r *replica) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-r.ended; r.cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("%s ended with %v before it was killed", r.name, err)
	}
}

// finish has r finish its calls and end.
func (r *replica) finish() { _ = r.stdin.Close() }

// await waits until r has ended, which it must without complaint.
func (r *replica) await(t *testing.T) {
	t.Helper()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("%s ended with %v, want nil", r.name, err)
		}
	case <-time.After(2 * deadline):
		t.Errorf("%s does not end", r.name)
	}
}
