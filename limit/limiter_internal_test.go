package limit

import "testing"

// A limiter is forgotten when its key is idle, and a call may come at that very moment.
// Either it keeps the limiter, or it gets another one.
func TestForgottenLimitersAreNotEntered(t *testing.T) {
	p := New(Config{Initial: 1})
	held, _ := p.enter("key")
	if held.abandon() {
		t.Fatal("a limiter with a call in flight may be forgotten")
	}
	held.leave(ignored, 1, held.begins)
	if !held.abandon() {
		t.Fatal("a limiter without a call in flight may not be forgotten")
	}

	next, inFlight := p.enter("key")
	if next == held || inFlight != 1 {
		t.Errorf("enter() gives the forgotten limiter: %v, as number %d; want another one, as number 1", next == held, inFlight)
	}
	if again, inFlight := p.enter("key"); again != next || inFlight != full {
		t.Errorf("enter() gives a third limiter: %v, as number %d; want it full", again != next, inFlight)
	}
}
