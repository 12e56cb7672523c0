package fleet_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth32Fleet(t *testing.T) {
	for kind, share := range sharings {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.order.Grant = newGrant()
			s := share(t, f.order.Grant)
			f.order.Store, f.order.Where = s.kind, s.where
			f.play(t, s)
			f.check(t)
		})
	}
}

// play has the fleet go through the stages, for 20 seconds at least unless that is too long.
func (f *fleet) play(t *testing.T, s sharing) {
	t.Helper()
	rest, enough := 1500*time.Millisecond, 20*time.Second
	if testing.Short() {
		rest, enough = 500*time.Millisecond, 0
	}
	f.enter("start", true) // of many processes, which may be too much for the machine
	f.startAll(t)
	t.Logf("start: calls went well after %v", f.awaitCalls(t, f.began))
	f.calm(rest)
	f.revokeToken(t)
	f.calm(rest)
	f.killHolder(t)
	f.calm(rest)
	f.cutStore(t, s)
	f.calm(max(rest, time.Until(f.began.Add(enough))))
	f.stopAll(t)
}

func (f *fleet) calm(d time.Duration) {
	f.enter("calm", false)
	time.Sleep(d)
}

// revokeToken revokes all tokens when some replicas have the next one already and others do not. Their
// calls are to go well all the same.
func (f *fleet) revokeToken(t *testing.T) {
	t.Helper()
	before := len(f.front.log())
	await(t, "a token request", func() bool { return len(f.front.log()) > before })
	f.enter("token revoked", false)
	f.provider.RevokeAccessTokens()
	t.Logf("token revoked: calls went well after %v", f.awaitCalls(t, time.Now()))
	if f.api.refused.Load() == 0 {
		t.Error("no call has been refused, want that of the first replica to notice")
	}
}

// killHolder kills the replica that holds the lease, before the server gets its token request, and
// starts another one in its place, which knows only the first refresh token.
func (f *fleet) killHolder(t *testing.T) {
	t.Helper()
	request := receive(t, f.front.hold())
	before := len(f.front.log())
	f.enter("holder killed", true)
	f.replicas[request.replica].kill(t)
	killed := time.Now()
	request.pass <- false
	delete(f.replicas, request.replica)
	f.start(t, request.replica+" again")
	await(t, "another token request", func() bool { return len(f.front.log()) > before })
	took := f.front.log()[before].at.Sub(killed)
	if took < lease/2 || took > lease+timeout {
		t.Errorf("another replica took over after %v, want about %v", took, lease)
	}
	t.Logf("holder killed: another took over after %v, calls went well %v later", took, f.awaitCalls(t, time.Now()))
}

// cutStore cuts the store off while the server has a token request, so that what it brings cannot be
// saved.
func (f *fleet) cutStore(t *testing.T, s sharing) {
	t.Helper()
	request := receive(t, f.front.hold())
	f.enter("store cut off", true)
	s.cut(t)
	request.pass <- true
	time.Sleep(outage)
	before := len(f.front.log())
	s.restore(t)
	restored := time.Now()
	took := f.awaitCalls(t, restored)
	if took > lease+timeout {
		t.Errorf("calls of all replicas went well after %v, want that sooner after the store is back", took)
	}
	t.Logf("store restored: calls went well after %v, the first token request came after %v", took, f.front.log()[before].at.Sub(restored))
}

// check checks what must be so however the replicas took turns.
func (f *fleet) check(t *testing.T) {
	t.Helper()
	f.checkGrant(t)
	f.checkCalls(t)
	// One that counts as lost has been saved, or the next token request would have been refused: the
	// answer of the store came too late, and another replica has gone on from there.
	failed, saved, lost := f.record.count("auth.save_failed"), f.record.count("auth.saved"), f.record.count("auth.save_lost")
	if failed == 0 || saved+lost != failed {
		t.Errorf("%d tokens could not be saved at first, want one at least, of which %d were saved later, want all", failed, saved+lost)
	}
}

// checkGrant checks that the refresh tokens have been used one after the other, once each, no more
// often than need be, and that the last one is good.
func (f *fleet) checkGrant(t *testing.T) {
	t.Helper()
	exchanges := f.front.log()
	if got := f.provider.Reuses(); got != 0 {
		t.Errorf("server has had %d refresh tokens used twice, want none", got)
	}
	if got := f.provider.TokenRequests(); got != len(exchanges) {
		t.Errorf("server has had %d token requests, want the %d that have been answered", got, len(exchanges))
	}
	current, refreshers := f.order.RefreshToken, make(map[string]bool)
	for i, e := range exchanges {
		if e.code != "" || e.spent != current {
			t.Errorf("token request %d, of %s: right refresh token: %v, error: %q, want true, none", i+1, e.replica, e.spent == current, e.code)
		}
		current, refreshers[e.replica] = e.issued, true
	}
	// Each token is used for 1.2 s at least, but for the one that is revoked.
	lived := exchanges[len(exchanges)-1].at.Sub(exchanges[0].at)
	if want := 2 + int(lived/(1200*time.Millisecond)); len(exchanges) > want {
		t.Errorf("%d token requests in %v, want %d at most", len(exchanges), lived, want)
	}
	t.Logf("%d token requests, of %d replicas, %d dropped, %d tokens adopted, %d calls refused",
		len(exchanges), len(refreshers), f.front.dropped, f.record.count("auth.adopted"), f.api.refused.Load())
	f.order.RefreshToken = current
	if _, err := f.order.source().Token(t.Context(), nil); err != nil {
		t.Errorf("Token() = %v with the last refresh token, want nil", err)
	}
}

// checkCalls checks that there have been calls all the time, and that those that failed did so in a way
// that passes. Where there was no fault they are few, of a machine that is too busy.
func (f *fleet) checkCalls(t *testing.T) {
	t.Helper()
	stages := make([]summary, len(f.stages))
	for _, r := range f.record.all() {
		if r.Call != nil {
			stages[f.stageAt(r.Call.Began)].add(r.Call)
		}
	}
	for i, s := range stages {
		name := f.stages[i].name
		t.Logf("%-14s %v", name, &s)
		if s.good < len(f.replicas) {
			t.Errorf("%s: %d calls went well, want %d at least", name, s.good, len(f.replicas))
		}
		if limit := s.good / 10; !f.stages[i].fault && len(s.passed) > limit {
			t.Errorf("%s: %d calls failed, one with %q, want %d at most", name, len(s.passed), s.passed[0].Error, limit)
		}
		for _, c := range s.wrong {
			t.Errorf("%s: call failed with status %d, error %q, class %q, want an error that passes", name, c.Status, c.Error, c.Class)
		}
	}
}

// A summary is how the calls of a stage went.
type summary struct {
	good    int
	passed  []*call // failed in the one way that calls may
	wrong   []*call
	longest time.Duration
}

func (s *summary) add(c *call) {
	switch {
	case c.good():
		s.good++
	case c.passes():
		s.passed = append(s.passed, c)
	default:
		s.wrong = append(s.wrong, c)
	}
	s.longest = max(s.longest, c.Ended.Sub(c.Began))
}

func (s *summary) String() string {
	return fmt.Sprintf("%4d calls went well, %3d failed, the longest took %v",
		s.good, len(s.passed)+len(s.wrong), s.longest.Round(time.Millisecond))
}

// Replicas that do not share what they know spend the same refresh token, and lose the login.
func TestAuth32AloneTheyLoseTheGrant(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.startAll(t)
	await(t, "a refresh token used twice", func() bool { return f.provider.Reuses() > 0 })
	lost := func(r report) bool { return r.Call != nil && r.Call.Reauth }
	await(t, "a call that says so", func() bool { return slices.ContainsFunc(f.record.all(), lost) })
	f.stopAll(t)

	exchanges := f.front.log()
	for _, e := range exchanges {
		if e.issued == "" {
			continue
		}
		f.order.RefreshToken = e.issued
		if _, err := f.order.source().Token(t.Context(), nil); !errors.Is(err, auth.ErrReauthRequired) {
			t.Errorf("Token() = %v with a refresh token of the login, want %v", err, auth.ErrReauthRequired)
		}
	}
	t.Logf("%d token requests, the login is lost after %v", len(exchanges), exchanges[len(exchanges)-1].at.Sub(exchanges[0].at))
}
