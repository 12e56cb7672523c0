package bulkhead

import (
	"testing"
	"time"
)

// Some calls have found their gate just before it is forgotten.
func TestForgottenGateLetsNobodyPass(t *testing.T) {
	var gs gates
	g := gs.of("orders")
	gs.sweep()
	if _, ok := g.enter(1); ok {
		t.Error("enter() = true at a gate that was forgotten, want false")
	}
	if w, why := g.join(t.Context(), &Config{Slots: 1, MaxQueue: 1}); w != nil || why != "" {
		t.Errorf("join() = %v, %q at a gate that was forgotten, want neither", w, why)
	}
	gs.byKey.Store("orders", g) // as if sweep were not done yet
	if other, ok := gs.enter("orders", 1); !ok || other == g {
		t.Errorf("gates.enter() = the same gate %v, %v, want another one, true", other == g, ok)
	}
}

func TestGateInUseIsNotForgotten(t *testing.T) {
	var gs gates
	g, _ := gs.enter("orders", 1)
	gs.sweep()
	if other, ok := gs.enter("orders", 1); ok || other != g {
		t.Errorf("gates.enter() = the same gate %v, %v with its slot taken, want true, false", other == g, ok)
	}
	g.leave()
	if other, ok := gs.enter("orders", 1); !ok || other != g {
		t.Errorf("gates.enter() = the same gate %v, %v with its slot given back, want true, true", other == g, ok)
	}
}

func TestPace(t *testing.T) {
	tests := []struct {
		name  string
		freed []int // the seconds that passed before each slot was freed
		ahead int
		want  int // the seconds until the turn, -1 if that cannot be told
	}{
		{"nothing is known", nil, 0, -1},
		{"not enough", []int{1, 1, 1, 1}, 0, -1},
		{"enough", []int{1, 1, 1, 1, 1}, 0, 1},
		{"behind others", []int{1, 1, 1, 1, 1}, 3, 4},
		{"with a short one", []int{2, 2, 0, 2, 2}, 1, 4},
		{"with a long one", []int{2, 2, 100, 2, 2}, 1, 4},
		{"the latest count", []int{9, 9, 9, 9, 9, 3, 3, 3, 3, 3, 3, 3, 3, 3}, 0, 3},
	}
	for _, tt := range tests {
		now := time.Unix(1000, 0)
		var p pace
		p.begin(now)
		for _, seconds := range tt.freed {
			now = now.Add(time.Duration(seconds) * time.Second)
			p.freed(now)
		}
		got := -1
		if turn := p.turn(tt.ahead); !turn.IsZero() {
			got = int(turn.Sub(now).Seconds())
		}
		if got != tt.want {
			t.Errorf("%s: turn(%d) comes in %d s, want %d", tt.name, tt.ahead, got, tt.want)
		}
	}
}
