package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// A gauge counts what is open, and how much at most.
type gauge struct {
	mu              sync.Mutex
	now, most, ever int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
	g.ever += max(0, n)
}

func (g *gauge) read() (now, most, ever int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.most, g.ever
}

// counted counts the connections of a listener.
type counted struct {
	net.Listener
	open *gauge
}

func (l *counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.add(1)
	return &countedConn{Conn: conn, open: l.open}, nil
}

type countedConn struct {
	net.Conn
	open *gauge
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.add(-1) })
	return c.Conn.Close()
}

// A countedBody counts that it is closed.
type countedBody struct {
	io.Reader
	io.Closer
	open *gauge
	once sync.Once
}

func newBody(body io.ReadCloser, open *gauge) *countedBody {
	open.add(1)
	return &countedBody{Reader: body, Closer: body, open: open}
}

func (b *countedBody) Close() error {
	b.once.Do(func() { b.open.add(-1) })
	return b.Closer.Close()
}

// A panicky transport counts the bodies that it returns, and sometimes does not return.
type panicky struct {
	base   *http.Transport
	bodies *gauge
	panics func() bool
}

var errPanic = errors.New("soak: panic of an operation")

// RoundTrip implements [http.RoundTripper].
func (t *panicky) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.panics() {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		leave()
	}
	response, err := t.base.RoundTrip(req)
	if err == nil {
		response.Body = newBody(response.Body, t.bodies)
	}
	return response, err
}

// leave ends an operation in a way that is no return.
func leave() {
	if rand.IntN(2) == 0 {
		runtime.Goexit()
	}
	panic(errPanic)
}

// problems are what is not as promised.
type problems struct {
	mu   sync.Mutex
	list []error
}

const maxProblems = 20

func (p *problems) addf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.list) < maxProblems {
		p.list = append(p.list, fmt.Errorf(format, args...))
	}
}

func (p *problems) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.list...)
}

// soon reports whether ok holds within a few seconds.
func soon(ok func() bool) bool {
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// stacks returns those of all goroutines.
func stacks() string {
	buffer := make([]byte, 1<<20)
	return string(buffer[:runtime.Stack(buffer, true)])
}
