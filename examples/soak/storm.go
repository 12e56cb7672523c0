package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A storm is callers, the server that they call, and what goes wrong with both.
type storm struct {
	policies
	pipeline *pipeline.Pipeline
	server   *server
	base     *http.Transport
	client   *http.Client
	callers  int
	bad      atomic.Bool // the weather

	bodies   gauge // of responses
	uploads  gauge // bodies of requests
	made     atomic.Int64
	longest  atomic.Int64 // a call's duration
	problems problems

	mu    sync.Mutex
	ended map[string]int // calls, by how
}

func newStorm(callers int) (*storm, error) {
	s := &storm{callers: callers, ended: make(map[string]int)}
	s.policies = newPolicies(s.bad.Load)
	var err error
	if s.pipeline, err = s.policies.pipeline(); err != nil {
		return nil, err
	}
	for _, warning := range s.pipeline.Warnings() {
		s.problems.addf("%s", warning)
	}
	if s.server, err = newServer(&s.problems); err != nil {
		return nil, err
	}
	s.base = &http.Transport{MaxIdleConnsPerHost: callers, MaxResponseHeaderBytes: 16 << 10}
	s.client = &http.Client{Transport: s.pipeline.Transport(&panicky{s.base, &s.bodies, func() bool { return s.bad.Load() && chance(2) }})}
	return s, nil
}

// rage has callers make calls while the weather is bad.
func (s *storm) rage(ctx context.Context, duration time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	s.bad.Store(true)
	defer s.bad.Store(false)
	var all sync.WaitGroup
	all.Go(func() { s.change(ctx) })
	all.Go(func() { s.meddle(ctx) })
	for range s.callers {
		all.Go(func() {
			for ctx.Err() == nil {
				s.call()
				_ = policy.Sleep(ctx, upTo(20*time.Millisecond))
			}
		})
	}
	if !within(&all, duration+30*time.Second) {
		s.problems.addf("calls do not end:\n%s", stacks())
	}
}

// within reports whether all that wg waits for ends in time.
func within(wg *sync.WaitGroup, d time.Duration) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// change changes the weather: most requests meet a fault, or few, or some.
func (s *storm) change(ctx context.Context) {
	for ctx.Err() == nil {
		s.server.faulty.Store([]int32{5, 30, 90}[rand.IntN(3)])
		_ = policy.Sleep(ctx, upTo(time.Second))
	}
	s.server.faulty.Store(0)
}

// functions are the keys of calls that are not HTTP.
var functions = []string{"db", "cache", "disk"}

func (s *storm) keys() []string { return append([]string{s.server.URL}, functions...) }

// meddle forces circuits open and closed, and releases them.
func (s *storm) meddle(ctx context.Context) {
	keys := s.keys()
	for ctx.Err() == nil {
		force, key := s.guard.ForceOpen, keys[rand.IntN(len(keys))]
		if chance(50) {
			force = s.guard.ForceClosed
		}
		force(key)
		_ = policy.Sleep(ctx, upTo(50*time.Millisecond))
		s.guard.Release(key)
		_ = policy.Sleep(ctx, upTo(100*time.Millisecond))
	}
}
