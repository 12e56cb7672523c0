package temporal_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
)

// A server is a real Temporal, with its database in a file.
type server struct {
	program, file, address string
	cmd                    *exec.Cmd
}

// newServer starts the program that EVENKEEL_TEMPORAL_BIN names, and stops it when the test ends.
func newServer(t *testing.T) *server {
	t.Helper()
	program := os.Getenv("EVENKEEL_TEMPORAL_BIN")
	if program == "" {
		t.Skip("EVENKEEL_TEMPORAL_BIN is not set: it names the temporal CLI to test with, as tools/temporal builds it")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := &server{program: program, file: filepath.Join(t.TempDir(), "temporal.db"), address: listener.Addr().String()}
	listener.Close()
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), s.program, "server", "start-dev", "--headless",
		"--ip", host, "--port", port, "--db-filename", s.file, "--log-level", "never")
	s.cmd.Stderr = t.Output()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.dial(t).Close()
}

// kill ends the server like a power cut.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// dial returns a client once the server is ready.
func (s *server) dial(t *testing.T, interceptors ...interceptor.ClientInterceptor) client.Client {
	t.Helper()
	options := client.Options{HostPort: s.address, Logger: quiet, Interceptors: interceptors}
	for range 300 {
		c, err := client.DialContext(t.Context(), options)
		if err == nil {
			if _, err = c.CheckHealth(t.Context(), nil); err == nil {
				t.Cleanup(c.Close)
				return c
			}
			c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("no server")
	return nil
}
