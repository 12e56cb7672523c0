package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// calmDown makes calls in fair weather until all succeed, and checks that all is as it was.
func (s *storm) calmDown() {
	failed := 0
	if !soon(func() bool { failed = s.succeed(); return failed == 0 }) {
		s.problems.addf("%d of %d calls fail in fair weather", failed, s.callers)
	}
	for _, key := range s.keys() {
		if got := s.guard.State(key); got != breaker.Closed {
			s.problems.addf("the circuit of %s is %v, want %v", key, got, breaker.Closed)
		}
	}
	s.checkHeld()
	s.checkBudget()
}

// checkHeld checks that nothing is held of any policy, and that nobody waits.
func (s *storm) checkHeld() {
	for _, p := range []interface {
		policy.Policy
		Gauges() iter.Seq[policy.Gauge]
	}{s.shared, s.slots, s.rate, s.limit} {
		for g := range p.Gauges() {
			if g.Name != "max_in_flight" && g.Value != 0 {
				s.problems.addf("%s of %s is %v, want 0", g.Name, p.Name(), g.Value)
			}
		}
	}
}

// succeed has all callers call at once, and returns how many failed.
func (s *storm) succeed() int {
	var failed atomic.Int64
	var all sync.WaitGroup
	ctx := context.WithValue(context.Background(), tenantKey{}, fmt.Sprint("fair-", rand.Int()))
	for i := range s.callers {
		all.Go(func() {
			id, how := fmt.Sprint("fair ", s.made.Add(1)), ""
			if i%2 == 0 {
				how = s.request(ctx, id)
			} else {
				how = s.function(ctx, id)
			}
			s.count(how)
			if how != "answered: 200" && how != "returned" {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	return int(failed.Load())
}

// checkBudget checks that after a while without failures the budget is whole again.
func (s *storm) checkBudget() {
	time.Sleep(1200 * time.Millisecond) // more than its window
	p := retry.New(retry.Config{InitialInterval: 1, MaxInterval: 1, Budget: s.budget})
	failed := 0
	for range retryBurst {
		err := p.Do(context.Background(), policy.Call{}, func(_ context.Context, call policy.Call) error {
			if call.Attempt == 1 {
				return io.EOF
			}
			return nil
		})
		if err != nil {
			failed++
		}
	}
	if failed > 0 {
		s.problems.addf("%d of %d calls had no budget for a retry after a pause, want none", failed, retryBurst)
	}
}

// close ends everything.
func (s *storm) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.tokens.Close(ctx); err != nil {
		s.problems.addf("the tokens do not close: %v", err)
	}
	s.base.CloseIdleConnections()
	if !soon(func() bool { now, _, _ := s.server.conns.read(); return now == 0 }) {
		now, _, _ := s.server.conns.read()
		s.problems.addf("%d connections stay open", now)
	}
	s.server.close()
}

// checkLeft checks that nothing is left, and that each call ended once.
func (s *storm) checkLeft(goroutines int) {
	if !soon(func() bool { return runtime.NumGoroutine() <= goroutines }) {
		s.problems.addf("%d goroutines are left, want %d:\n%s", runtime.NumGoroutine(), goroutines, stacks())
	}
	if now, _, ever := s.bodies.read(); now != 0 || ever == 0 {
		s.problems.addf("%d of %d bodies of responses were not closed", now, ever)
	}
	if now, _, ever := s.uploads.read(); now != 0 || ever == 0 {
		s.problems.addf("%d of %d bodies of requests were not closed", now, ever)
	}
	// One for each call, as many idle ones, and those of callers who have left that are still being dialed.
	if _, most, _ := s.server.conns.read(); most > 4*s.callers {
		s.problems.addf("%d connections were open at a time, want at most %d", most, 4*s.callers)
	}
	if n := s.server.repeated(); n > 0 {
		s.problems.addf("%d requests took effect more than once that must not be repeated", n)
	}
	if longest := time.Duration(s.longest.Load()); longest > 10*totalLimit {
		s.problems.addf("a call took %v, want about %v at most", longest, totalLimit)
	}
	total := 0
	for _, n := range s.ended {
		total += n
	}
	if made := int(s.made.Load()); total != made {
		s.problems.addf("%d calls were made, and %d ended", made, total)
	}
}

// report writes what happened.
func (s *storm) report(w io.Writer) error {
	_, most, ever := s.server.conns.read()
	_, _, bodies := s.bodies.read()
	_, err := fmt.Fprintf(w, "%d calls of %d callers, the longest %v, %d connections, %d of them at a time, %d bodies\n",
		s.made.Load(), s.callers, time.Duration(s.longest.Load()).Round(time.Millisecond), ever, most, bodies)
	return cmp.Or(err, table(w, "calls", s.ended), table(w, "requests that met", s.server.counts()))
}

func table(w io.Writer, title string, counts map[string]int) error {
	_, err := fmt.Fprintf(w, "\n%s\n", title)
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		if _, e := fmt.Fprintf(w, "  %-28s %7d\n", key, counts[key]); e != nil {
			err = e
		}
	}
	return err
}
