package workflowtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// A server is something that steps talk to. It takes down who calls, and when.
type server struct {
	mu   sync.Mutex
	keys []string
	at   []time.Time
}

// step returns a step that answers what reply does, which is told the number of the
// call, from 1.
func (s *server) step(name string, reply func(call int) error) workflow.Step[int, int] {
	return workflow.NewStep(name, nil, func(ctx context.Context, n int) (int, error) {
		s.mu.Lock()
		s.keys, s.at = append(s.keys, workflow.Key(ctx)), append(s.at, time.Now())
		call := len(s.at)
		s.mu.Unlock()
		return n, reply(call)
	})
}

// wantCalls checks how often the server was called, and returns when.
func (s *server) wantCalls(t *testing.T, want int) []time.Time {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) != want {
		t.Errorf("the step was carried out %d times, want %d", len(s.at), want)
	}
	return s.at
}

// until returns a reply that is err until the call of the given number, which succeeds.
func until(success int, err error) func(int) error {
	return func(call int) error {
		if call < success {
			return err
		}
		return nil
	}
}

func triesAgain(t *testing.T, e workflow.Engine) {
	var s server
	flow := single("flaky", s.step("flaky", until(3, errors.New("connection reset"))))
	on(t, e, flow)
	wants(t, e, flow, newID(), 7, 7)
	at := s.wantCalls(t, 3)
	least := Retry().InitialInterval
	for i := 1; i < len(at); i++ {
		if pause := at[i].Sub(at[i-1]); pause < least {
			t.Errorf("attempt %d came %v after the one before, want at least %v", i+1, pause, least)
		}
		least *= 2
	}
}

func takesNo(t *testing.T, e workflow.Engine) {
	var s server
	flow := single("refused", s.step("refused", until(2, permanent("no such order"))))
	on(t, e, flow)
	id := newID()
	for range 2 {
		if f := fails(t, e, flow, id, 7); !workflow.IsPermanent(f) || f.Step() != "refused" {
			t.Errorf("Run() = %v of class %v of step %q, want a permanent failure of step refused", f, f.Class(), f.Step())
		}
	}
	s.wantCalls(t, 1)
}

// busy is the error of a server that says when to come back.
type busy time.Duration

func (b busy) Error() string                     { return "busy" }
func (b busy) Class() policy.Class               { return policy.Throttled }
func (b busy) RetryAfter() (time.Duration, bool) { return time.Duration(b), true }
func (b busy) ErrorType() string                 { return "503" }

func comesBack(t *testing.T, e workflow.Engine) {
	const pause = 300 * time.Millisecond // more than Retry's MaxInterval
	var s server
	flow := single("busy", s.step("busy", until(3, busy(pause))))
	on(t, e, flow)
	wants(t, e, flow, newID(), 7, 7)
	at := s.wantCalls(t, 3)
	for i := 1; i < len(at); i++ {
		if got := at[i].Sub(at[i-1]); got < pause-time.Millisecond {
			t.Errorf("attempt %d came %v after a failure that asks for %v", i+1, got, pause)
		}
	}
}

func givesUp(t *testing.T, e workflow.Engine) {
	var s server
	step := s.step("down", func(int) error { return errors.New("connection refused") })
	var seen error
	flow := workflow.NewFlow("hopeless", func(r workflow.Run, n int) (int, error) {
		n, err := step.Do(r, n)
		seen = err
		return n, err
	}, step)
	on(t, e, flow)
	f := fails(t, e, flow, newID(), 7)
	if !workflow.IsPermanent(f) || !workflow.IsPermanent(seen) || f.Step() != "down" {
		t.Errorf("Run() = %v of class %v of step %q, and the flow got %v: want a permanent failure of step down", f, f.Class(), f.Step(), seen)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := len(s.at)
	if calls < 3 {
		t.Fatalf("the step was carried out %d times, want to be tried for a while", calls)
	}
	if tried := s.at[calls-1].Sub(s.at[0]); tried > Retry().GiveUpAfter+time.Second {
		t.Errorf("the step was tried for %v, want %v", tried, Retry().GiveUpAfter)
	}
}

func hasKeys(t *testing.T, e workflow.Engine) {
	var s server
	one := s.step("one", until(2, errors.New("connection reset")))
	other := s.step("other", until(4, errors.New("connection reset")))
	flow := workflow.NewFlow("keys", func(r workflow.Run, n int) (int, error) {
		for _, step := range []workflow.Step[int, int]{one, other, one} {
			if _, err := step.Do(r, n); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, one, other)
	on(t, e, flow)
	wants(t, e, flow, newID(), 1, 1) // carries out one, one, other, other, one
	wants(t, e, flow, newID(), 1, 1) // and one, other, one
	s.wantCalls(t, 8)
	k := s.keys
	if len(k) != 8 || k[0] != k[1] || k[2] != k[3] {
		t.Errorf("keys are %q, want the same for all attempts of a step", k)
	}
	slices.Sort(k)
	if distinct := len(slices.Compact(slices.Clone(k))); distinct != 6 || k[0] == "" {
		t.Errorf("there are %d distinct keys in %q, want 6, one for each time that the flows come to a step", distinct, k)
	}
}
