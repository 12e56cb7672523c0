package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A brittleStore is a store with hooks that run before its methods. If load
// returns an error, or swap true, nothing else is done.
type brittleStore struct {
	auth.Store
	load func() error
	swap func(write func() error) (err error, instead bool)
}

func (s *brittleStore) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if s.load != nil {
		if err := s.load(); err != nil {
			return nil, 0, err
		}
	}
	return s.Store.Load(ctx, key)
}

func (s *brittleStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	write := func() error {
		next, err = s.Store.Swap(ctx, key, value, rev)
		return err
	}
	if s.swap != nil {
		if err, instead := s.swap(write); instead {
			return next, err
		}
	}
	return next, write()
}

var errDown = errors.New("the store is down")

func TestAuth33SetTokenOfAnAccessTokenLosesNoRefreshToken(t *testing.T) {
	for name, token := range map[string]*oauth2.Token{
		"an access token alone":      {AccessToken: "NEW"},
		"with a known refresh token": {AccessToken: "NEW", RefreshToken: "RT1"},
	} {
		for _, whose := range []string{"the one that asks", "another"} {
			t.Run(name+"/"+whose, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					as, store := &server{delay: time.Second}, new(auth.MemoryStore)
					p, other := as.replica(store), as.replica(store)
					go func() { _ = p.Do(t.Context(), testCall, (&api{}).do) }()
					synctest.Wait() // the token request is under way
					if whose == "the one that asks" {
						other = p
					}
					if err := other.SetToken(t.Context(), token); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Hour)
					err := p.Do(t.Context(), testCall, (&api{refuses: refuse("NEW")}).do)
					if err != nil || as.spent() != "RT1 RT2" {
						t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and each once", err, as.spent())
					}
				})
			})
		}
	}
}

func TestAuth34FailOpenSpendsNoRefreshTokenTwiceByItself(t *testing.T) {
	for name, record := range map[string]string{
		"no record":           "",
		"record of its login": "RT1",
		"record of another":   "RT0",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{expiresIn: "60"}
				var down atomic.Bool
				memory := new(auth.MemoryStore)
				store := &brittleStore{Store: memory, load: func() error {
					if down.Load() {
						return errDown
					}
					return nil
				}}
				if record != "" {
					s := as.refreshToken()
					s.RefreshToken = record
					if err := auth.New(auth.Config{Source: s, Store: store, Grant: "grant"}).SetToken(t.Context(), &oauth2.Token{AccessToken: "OLD", Expiry: time.Now().Add(time.Second)}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				down.Store(true)
				p := auth.New(auth.Config{Source: as.refreshToken(), Store: store, Grant: "grant", FailOpen: true})
				for i := range 4 {
					if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
						t.Errorf("Do() = %v, want nil", err)
					}
					time.Sleep(time.Minute)
					down.Store(i < 1)
				}
				time.Sleep(time.Minute)
				if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
				if got, want := as.spent(), "RT1 RT2 RT3 RT4 RT5"; got != want {
					t.Errorf("refresh tokens sent: %s, want %s", got, want)
				}
			})
		})
	}
}

func TestAuth30FailOpenAfterASaveThatGotNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{expiresIn: "60"}
		var swaps atomic.Int32
		var down atomic.Bool
		store := &brittleStore{Store: new(auth.MemoryStore)}
		store.load = func() error {
			if down.Load() {
				return errDown
			}
			return nil
		}
		store.swap = func(write func() error) (error, bool) {
			switch {
			case down.Load():
				return errDown, true
			case swaps.Add(1) == 2: // the result
				_ = write()
				down.Store(true)
				return errDown, true
			}
			return nil, false
		}
		p := auth.New(auth.Config{Source: as.refreshToken(), Store: store, Grant: "grant", FailOpen: true})
		_ = p.Do(t.Context(), testCall, (&api{}).do)
		time.Sleep(time.Minute)
		_ = p.Do(t.Context(), testCall, (&api{}).do) // spends RT2 while the store is down
		down.Store(false)
		time.Sleep(time.Minute)
		err := p.Do(t.Context(), testCall, (&api{}).do)
		if err != nil || as.spent() != "RT1 RT2 RT3" {
			t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and each once", err, as.spent())
		}
	})
}

func TestAuth30ObserverThatPanicsEndsNoSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, swaps := &server{}, 0
		var mu sync.Mutex
		store := &brittleStore{Store: new(auth.MemoryStore), swap: func(func() error) (error, bool) {
			mu.Lock()
			defer mu.Unlock()
			swaps++
			return errDown, swaps > 1 && swaps < 5
		}}
		p := as.replica(store)
		_ = p.Do(t.Context(), testCall.WithRecorder(panicky{new(transcript)}), (&api{}).do)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := as.replica(store).Do(t.Context(), testCall, (&api{}).do); err != nil || as.spent() != "RT1" {
			t.Errorf("Do() = %v of another replica, refresh tokens sent: %s, want nil and RT1", err, as.spent())
		}
	})
}

// panicky panics when it is told that something was saved.
type panicky struct{ *transcript }

func (panicky) Emit(_ context.Context, event policy.Event) {
	if event.Name == "auth.saved" {
		panic("observer")
	}
}

func TestAuth32ConfiguredRefreshTokenIsTakenUpOnceHoweverManyLoginsFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{}, new(auth.MemoryStore)
		for n := range 100 {
			if err := as.replica(store).Do(t.Context(), testCall, (&api{}).do); err != nil {
				t.Fatalf("Do() = %v after %d logins, refresh tokens sent: %s, want nil", err, n, as.spent())
			}
			as.setCurrent(1000 * (n + 1))
			if err := as.replica(store).SetToken(t.Context(), &oauth2.Token{RefreshToken: fmt.Sprint("RT", 1000*(n+1))}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAuth33TokensThatAreSetAgainAndAgainLoseNoRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, memory := &server{delay: time.Second}, new(auth.MemoryStore)
		other := as.replica(memory)
		swaps := 0
		store := &brittleStore{Store: memory, swap: func(func() error) (error, bool) {
			if swaps++; swaps > 1 && swaps < 5 { // once the refresh token is spent
				_ = other.SetToken(t.Context(), &oauth2.Token{AccessToken: fmt.Sprint("NEW", swaps)})
			}
			return nil, false
		}}
		p := as.replica(store)
		_ = p.Do(t.Context(), testCall, (&api{}).do)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		refuses := refuse("NEW2", "NEW3", "NEW4")
		if err := as.replica(memory).Do(t.Context(), testCall, (&api{refuses: refuses}).do); err != nil || strings.Contains(as.spent(), "RT1 RT1") {
			t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and each once", err, as.spent())
		}
	})
}

func TestAuth33WhoCannotWriteForLongerThanALeaseLastsLosesNoRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, memory := &server{delay: time.Second}, new(auth.MemoryStore)
		var frozen atomic.Bool
		frozen.Store(true)
		swaps := 0
		p := as.replica(&brittleStore{Store: memory, swap: func(func() error) (error, bool) {
			swaps++
			return errDown, swaps > 1 && frozen.Load()
		}})
		// Once it can write again, another replica may be quicker.
		other := as.replica(&brittleStore{Store: memory, swap: func(func() error) (error, bool) {
			frozen.Store(false)
			return nil, false
		}})
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Fatal(err)
		}
		start, rs := time.Now(), &api{}
		if err := other.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1" || as.spent() != "RT1" {
			t.Errorf("Do() = %v with %s, refresh tokens sent: %s, want nil with AT1 and RT1", err, rs.tokens(), as.spent())
		}
		if took := time.Since(start); took < 15*time.Second {
			t.Errorf("another replica took over after %v, want it to wait longer", took)
		}
	})
}
