// Package api runs an HTTP API on the loopback interface that wants a bearer token
// and fails when told to, so that examples and tests can show what happens then:
//
//	orders, err := api.Start(api.Config{Verify: provider.Verify})
//	...
//	defer orders.Close()
//	orders.Fail(api.Unavailable(time.Second), api.Reset)
//
// The next request is answered 503, the one after that finds its connection
// reset, and then all is well again.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

// Config configures a [Server]. The zero Config is ready to use.
type Config struct {
	// Verify reports whether a token is good. An error that matches
	// [idp.ErrInvalidToken] is answered 401, any other 503. Default: nobody needs
	// a token.
	Verify func(ctx context.Context, token string) error

	// Wrap returns the handler of all requests, given the server's own, say to trace
	// them. Default: the server's own.
	Wrap func(http.Handler) http.Handler
}

// A Server is a running API: GET /orders/{id} answers an order in JSON. Make one
// with [Start]. It is safe for concurrent use.
//
// Every request needs a connection of its own. On one that has been used before,
// net/http's client quietly sends a GET again when it is reset, and nobody would
// see the fault.
type Server struct {
	URL string

	verify  func(ctx context.Context, token string) error
	http    http.Server
	running sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	listener net.Listener
	requests int
	script   []Fault
	outage   Fault
	until    time.Time // when the outage ends
}

// Start starts a server on a free port of 127.0.0.1. The caller must close it.
func Start(config Config) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s := &Server{URL: "http://" + listener.Addr().String(), verify: config.Verify}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /orders/{id}", s.order)
	s.http.Handler = s.faulty(s.authorized(mux))
	if config.Wrap != nil {
		s.http.Handler = config.Wrap(s.http.Handler)
	}
	s.http.ErrorLog = log.New(io.Discard, "", 0)
	s.http.SetKeepAlivesEnabled(false)
	s.serve(listener)
	return s, nil
}

func (s *Server) serve(listener net.Listener) {
	s.listener = listener
	s.running.Go(func() { _ = s.http.Serve(listener) })
}

// Down has the server refuse connections, as if its machine were down, until it is
// told to be [Server.Up] again. Requests under way go on.
func (s *Server) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.listener.Close() // again, if it is down already
}

// Up has a server that is down take connections again, on the same port. It fails if
// somebody else has taken that.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := net.Listen("tcp", s.listener.Addr().String())
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	s.serve(listener)
	return nil
}

// Close stops the server and cuts off the requests that it is serving.
func (s *Server) Close() {
	_ = s.http.Close() // its connections need no good-bye
	s.running.Wait()
}

// Requests returns how many requests have come, faulty ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Fail adds faults to the script: each meets one of the next requests, in order.
// Whether the request has a good token makes no difference.
func (s *Server) Fail(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// Outage makes every request meet the same fault for a while. The script waits.
func (s *Server) Outage(d time.Duration, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage, s.until = fault, time.Now().Add(d)
}

// faulty makes requests meet their faults on the way to next.
func (s *Server) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fault := s.fault(); fault != nil {
			fault(w, r, next)
		} else {
			next.ServeHTTP(w, r)
		}
	})
}

// fault counts a request and returns the fault that it meets, or nil.
func (s *Server) fault() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	switch {
	case time.Now().Before(s.until):
		return s.outage
	case len(s.script) > 0:
		fault := s.script[0]
		s.script = s.script[1:]
		return fault
	}
	return nil
}

// authorized lets requests with a good token through to next, and answers the
// others as RFC 6750, section 3, says.
func (s *Server) authorized(next http.Handler) http.Handler {
	if s.verify == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			// Who shows no token is not told an error.
			challenge(w, "")
			return
		}
		switch err := s.verify(r.Context(), strings.TrimLeft(token, " ")); {
		case err == nil:
			next.ServeHTTP(w, r)
		case errors.Is(err, idp.ErrInvalidToken):
			challenge(w, "invalid_token")
		default:
			http.Error(w, "cannot verify the token", http.StatusServiceUnavailable)
		}
	})
}

func challenge(w http.ResponseWriter, code string) {
	value := `Bearer realm="orders"`
	if code != "" {
		value += fmt.Sprintf(`, error=%q`, code)
	}
	w.Header().Set("WWW-Authenticate", value)
	http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
}

// An Order is what the API is about.
type Order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (s *Server) order(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Order{ID: r.PathValue("id"), Status: "shipped"})
}
