package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// services are three servers on loopback. They do what they are asked to by requests such as
// POST /charge, once for each Idempotency-Key, and fail on a script.
type services struct {
	board     board
	addresses map[string]string // by name
	lost      chan struct{}     // closed once an answer was lost
	servers   []*http.Server
	running   sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	script map[string][]fault
	known  map[string]slip   // what was answered, by Idempotency-Key
	counts map[string]*count // by name
	done   map[string]int    // how often, by step and order
}

// providers are the services that do the steps.
var providers = map[string]string{
	"reserve": "stock",
	"release": "stock",
	"charge":  "payments",
	"refund":  "payments",
	"ship":    "shipping",
}

// A slip is what is asked for, and, once it has a number, what is answered.
type slip struct {
	Order  Order
	Number int
}

// A count is what a service has seen.
type count struct{ requests, failed, known, done int }

func startServices(b board, script map[string][]fault) (*services, error) {
	s := &services{
		board:     b,
		addresses: make(map[string]string),
		lost:      make(chan struct{}),
		script:    script,
		known:     make(map[string]slip),
		counts:    map[string]*count{"stock": {}, "payments": {}, "shipping": {}},
		done:      make(map[string]int),
	}
	for name := range s.counts {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.close()
			return nil, err
		}
		s.addresses[name] = listener.Addr().String()
		s.serve(listener)
	}
	return s, nil
}

func (s *services) serve(listener net.Listener) {
	server := &http.Server{
		Handler:           http.HandlerFunc(s.answer),
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Second,
	}
	s.servers = append(s.servers, server)
	s.running.Go(func() { _ = server.Serve(listener) })
}

func (s *services) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.running.Wait()
}

func (s *services) answer(w http.ResponseWriter, r *http.Request) {
	step, key := r.URL.Path[1:], r.Header.Get("Idempotency-Key")
	var asked slip
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || providers[step] == "" || key == "" {
		http.Error(w, "want a step, a key and a slip", http.StatusBadRequest)
		return
	}
	fault, filled := s.do(step, key, asked)
	switch {
	case fault.lost:
		close(s.lost)
		<-r.Context().Done()
	case fault.status != 0:
		if fault.wait != "" {
			w.Header().Set("Retry-After", fault.wait)
		}
		w.WriteHeader(fault.status)
	default:
		_ = json.NewEncoder(w).Encode(filled)
	}
}

// do does a step, unless it is done already, or its request meets a fault.
func (s *services) do(step, key string, asked slip) (fault, slip) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what, seen := step+" "+asked.Order.ID, s.counts[providers[step]]
	seen.requests++
	var f fault
	if faults := s.script[what]; len(faults) > 0 {
		f, s.script[what] = faults[0], faults[1:]
	}
	filled, known := s.known[key]
	switch {
	case f.status != 0:
		seen.failed++
		s.board.say(asked.Order.ID, step, f.String())
	case known:
		seen.known++
		s.board.say(asked.Order.ID, step, "the key is known: answered as before")
	default:
		seen.done++
		s.done[what]++
		filled = slip{asked.Order, seen.done}
		s.known[key] = filled
		s.board.say(asked.Order.ID, step, f.String())
	}
	return f, filled
}

// report shows what the services have seen. It returns an error if they have not done what they should.
func (s *services) report(b board) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := [][]any{{"service", "requests", "done", "failed", "done before"}}
	for _, name := range []string{"stock", "payments", "shipping"} {
		c := s.counts[name]
		rows = append(rows, []any{name, c.requests, c.done, c.failed, c.known})
	}
	b.table(rows)
	if err := s.check(); err != nil {
		return err
	}
	fmt.Fprintln(b.w, "Nothing was done twice, as what was sent again had the same Idempotency-Key.")
	return nil
}

// check returns an error if anything was done twice, or by halves.
func (s *services) check() error {
	var errs []error
	for what, n := range s.done {
		if n > 1 {
			errs = append(errs, fmt.Errorf("%s: done %d times, want once", what, n))
		}
	}
	for _, o := range orders {
		done := func(step string) int { return s.done[step+" "+o.ID] }
		if done("reserve") == 0 {
			continue // It was placed before these services were started.
		}
		want := 1
		if o.fails {
			want = 0
		}
		held, paid, shipped := done("reserve")-done("release"), done("charge")-done("refund"), done("ship")
		if held != want || paid != want || shipped != want {
			errs = append(errs, fmt.Errorf("%s: held %d, paid %d, shipped %d, want %d of each", o.ID, held, paid, shipped, want))
		}
	}
	return errors.Join(errs...)
}
