package main

import (
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// A server answers requests on loopback, more or less well.
type server struct {
	URL string

	http    http.Server
	running sync.WaitGroup
	faulty  atomic.Int32 // how many in a hundred requests meet a fault
	conns   gauge
	found   *problems

	mu      sync.Mutex // guards the fields below
	effects map[string]int
	met     map[string]int // faults, by name
	revoked map[string]bool
}

func newServer(found *problems) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	s := &server{URL: "http://" + listener.Addr().String(), found: found, effects: make(map[string]int), met: make(map[string]int), revoked: make(map[string]bool)}
	s.http.Handler = s
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.running.Go(func() { _ = s.http.Serve(&counted{listener, &s.conns}) })
	return s, nil
}

func (s *server) close() {
	_ = s.http.Close()
	s.running.Wait()
}

// ServeHTTP answers a request with its identifier, unless it meets a fault.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || !strings.HasPrefix(token, r.Header.Get(tenantHeader)+" ") {
		s.found.addf("a request has the token of another tenant, or none")
	}
	f := fault{"none", good, true}
	if int32(rand.IntN(100)) < s.faulty.Load() {
		f = faults[rand.IntN(len(faults))]
	}
	if !s.take(r, token, f) {
		refuse(w, r)
		return
	}
	w.Header().Set(idHeader, r.Header.Get(idHeader))
	w.Header().Set(faultHeader, f.name)
	f.answer(w, r)
}

// take counts a request that meets f, and reports whether it is let in.
func (s *server) take(r *http.Request, token string, f fault) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked[token] {
		return false
	}
	s.met[f.name]++
	if f.name == "revoked token" {
		s.revoked[token] = true
	}
	if f.effect && r.Method == http.MethodPost && r.Header.Get("Idempotency-Key") == "" {
		s.effects[r.Header.Get(idHeader)]++
	}
	return true
}

// repeated returns how many calls took effect more than once that must not be repeated.
func (s *server) repeated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, effects := range s.effects {
		if effects > 1 {
			n++
		}
	}
	return n
}

// counts returns how many requests met which fault.
func (s *server) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.met)
}

const (
	idHeader     = "Soak-Id"
	faultHeader  = "Soak-Fault"
	tenantHeader = "Soak-Tenant"
)

var tokens atomic.Int64

func newToken(tenant string) string { return fmt.Sprint(tenant, " ", tokens.Add(1)) }
