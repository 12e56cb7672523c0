package pipeline_test

import (
	"context"
	"net/http"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/ratelimit"
)

var limitScenarios = []scenario{
	{"bulkhead", func(s *stage) {
		s.set(steady(2), bulkhead.New(bulkhead.Config{Name: "api", Slots: 1, MaxWait: time.Second}))
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) }) // waits
		time.AfterFunc(20*time.Millisecond, func() { s.get(ok) }) // finds somebody waiting
		s.get(ok)
		time.Sleep(time.Second)
	}},
	{"bulkhead-full", func(s *stage) {
		s.set(bulkhead.New(bulkhead.Config{Slots: 1}))
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) })
		s.get(ok)
	}},
	{"bulkhead-no-slot-in-time", func(s *stage) {
		s.set(bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: 10 * time.Millisecond, MaxQueue: 3}))
		time.AfterFunc(1*time.Millisecond, func() { s.get(ok) })
		time.AfterFunc(2*time.Millisecond, func() { s.getWithin(5*time.Millisecond, ok) })
		time.AfterFunc(3*time.Millisecond, func() { s.leave(5 * time.Millisecond) })
		s.get(ok)
	}},
	{"rate-limit", func(s *stage) {
		s.set(steady(2), ratelimit.New(ratelimit.Config{Name: "api", Rate: 10, Burst: 1, MaxWait: 100 * time.Millisecond}))
		s.get(ok)
		s.get(ok) // waits
		s.getWithin(50*time.Millisecond, ok)
		s.leave(10 * time.Millisecond)
		time.AfterFunc(10*time.Millisecond, func() { s.get(ok) }) // finds somebody waiting
		s.get(ok)
	}},
	{"rate-limit-empty", func(s *stage) {
		s.set(ratelimit.New(ratelimit.Config{Rate: 10, Burst: 1}))
		s.get(ok)
		s.get(ok)
	}},
}

// getWithin has a request made that has so much time.
func (s *stage) getWithin(d time.Duration, replies ...reply) {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	s.send(ctx, http.MethodGet, replies...)
}

// leave has a request made whose caller leaves after d.
func (s *stage) leave(d time.Duration) {
	ctx, cancel := context.WithCancel(s.Context())
	time.AfterFunc(d, cancel)
	s.send(ctx, http.MethodGet, hanging)
}
