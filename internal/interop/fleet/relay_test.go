package fleet_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A relay passes connections on to a server, as long as it is not cut.
type relay struct {
	addr   string
	server string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool // of which both ends are listed; nil while it is cut

	running sync.WaitGroup
}

func startRelay(t *testing.T, server string) *relay {
	t.Helper()
	r := &relay{addr: "127.0.0.1:0", server: server}
	r.restore(t)
	r.addr = r.listener.Addr().String()
	t.Cleanup(func() {
		r.cut(t)
		r.running.Wait()
	})
	return r
}

// cut ends all connections, and has new ones refused.
func (r *relay) cut(*testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.listener.Close()
	for conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
}

// restore has connections be accepted.
func (r *relay) restore(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener, r.conns = listener, make(map[net.Conn]bool)
	r.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.pass(conn) })
		}
	})
}

// pass passes on what comes from either end to the other, until one of them closes.
func (r *relay) pass(client net.Conn) {
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		_ = client.Close()
		return
	}
	defer r.forget(client, server)
	if !r.remember(client, server) {
		return
	}
	r.running.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	_, _ = io.Copy(client, server)
}

// remember reports whether connections may go on.
func (r *relay) remember(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conns == nil {
		return false
	}
	for _, conn := range conns {
		r.conns[conn] = true
	}
	return true
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range conns {
		_ = conn.Close()
		delete(r.conns, conn)
	}
}
