// Package jaeger runs a real Jaeger on the loopback interface, so that tests can see what it makes
// of traces:
//
//	j := jaeger.Run(t)
//	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(j.GRPC))
//	...
//	spans, err := j.Trace(ctx, traceID)
//
// It is Jaeger v2, as tools/jaeger builds it.
package jaeger

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// A Server is a running Jaeger. Make one with [Start]. It is safe for concurrent use.
type Server struct {
	GRPC string // the URL to send spans to by OTLP over gRPC
	HTTP string // the URL to send spans to by OTLP over HTTP
	URL  string // of the UI and the API

	process *os.Process
	ended   chan struct{} // closed when there is no process any more
	log     bytes.Buffer  // what Jaeger says; to be read when it has ended
	client  *http.Client
}

// Run starts the program that EVENKEEL_JAEGER_BIN names, and stops it when the test ends. It skips the
// test if that is not set.
func Run(t testing.TB) *Server {
	t.Helper()
	program := os.Getenv("EVENKEEL_JAEGER_BIN")
	if program == "" {
		t.Skip("EVENKEEL_JAEGER_BIN is not set: it names the Jaeger v2 to test with, as tools/jaeger builds it")
	}
	s, err := Start(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

//go:embed jaeger.yaml
var config string

const (
	startLimit = 30 * time.Second
	stopLimit  = 5 * time.Second
)

// Start starts the given program, on spare ports of 127.0.0.1, and returns once it is ready, or with
// an error that holds what it has said if it is not within 30 seconds or before ctx ends. The caller
// must close the server; on Linux it also ends with the program that has started it.
func Start(ctx context.Context, program string) (*Server, error) {
	ports, err := sparePorts(5)
	if err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	s := &Server{
		GRPC:   "http://127.0.0.1:" + ports[0],
		HTTP:   "http://127.0.0.1:" + ports[1] + "/v1/traces",
		URL:    "http://127.0.0.1:" + ports[2],
		ended:  make(chan struct{}),
		client: &http.Client{Transport: new(http.Transport)},
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, "--config", "yaml:"+config)
	cmd.Env = []string{ // and nothing that would configure it otherwise
		"OTLP_GRPC_PORT=" + ports[0], "OTLP_HTTP_PORT=" + ports[1], "UI_PORT=" + ports[2],
		"QUERY_PORT=" + ports[3], "HEALTH_PORT=" + ports[4],
	}
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.WaitDelay = stopLimit
	if err := s.run(cmd); err != nil {
		return nil, fmt.Errorf("jaeger: %w", err)
	}
	if err := s.await(ctx, "http://127.0.0.1:"+ports[4]+"/status"); err != nil {
		s.Close()
		return nil, fmt.Errorf("jaeger: %w, having said\n%s", err, &s.log)
	}
	return s, nil
}

// await waits until a URL is answered 200.
func (s *Server) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		_, err := s.get(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-every.C:
		case <-s.ended:
			return errors.New("ended instead of starting")
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", err)
		}
	}
}

// Close stops the server and waits until it has ended, for 5 seconds at most if it does not want to.
func (s *Server) Close() {
	s.client.CloseIdleConnections()
	_ = s.process.Signal(os.Interrupt) // fails if it has ended
	select {
	case <-s.ended:
	case <-time.After(stopLimit):
		_ = s.process.Kill()
		<-s.ended
	}
}

// sparePorts returns ports that nobody listens on. They are lower than those that systems choose for
// connections and for listeners that want any port, so that nobody gets them in the meantime.
func sparePorts(n int) ([]string, error) {
	var ports []string
	for range 100 * n {
		port := strconv.Itoa(20_000 + rand.IntN(10_000))
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }() // All are held until there are enough.
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("no spare ports on 127.0.0.1 from 20000 to 29999")
}
