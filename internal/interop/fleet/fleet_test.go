package fleet_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

const (
	size     = 8               // replicas
	lifetime = 2 * time.Second // of access tokens
	timeout  = 3 * time.Second // of token requests
	lease    = timeout * 3 / 2 // as long as a replica may be silent
	outage   = 4 * time.Second // of the store
)

// A fleet is some replicas, and the world that they live in.
type fleet struct {
	provider *idp.Server
	front    *front
	api      *api
	order    order // of each replica, but for its name
	record   record
	replicas map[string]*replica // that live
	began    time.Time
	stages   []stage
}

// newFleet returns a fleet without replicas, for which a user has logged in.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	provider, err := idp.Start(idp.Config{AccessTokenLifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	login, err := provider.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{
		provider: provider,
		front:    startFront(t, provider.TokenURL),
		api:      startAPI(t, provider.Verify),
		replicas: make(map[string]*replica),
		began:    time.Now(),
	}
	f.order = order{
		API: f.api.url, TokenURL: f.front.url, ClientID: provider.ClientID, ClientSecret: provider.ClientSecret,
		RefreshToken: login.RefreshToken, Timeout: timeout,
	}
	return f
}

func newGrant() string { return "fleet_" + strings.ToLower(rand.Text()) }

// start starts another replica.
func (f *fleet) start(t *testing.T, name string) {
	t.Helper()
	o := f.order
	o.Replica = name
	f.replicas[name] = startReplica(t, o, &f.record)
}

func (f *fleet) startAll(t *testing.T) {
	t.Helper()
	for i := range size {
		f.start(t, fmt.Sprintf("replica %d", i+1))
	}
}

// stopAll ends all replicas in an orderly way.
func (f *fleet) stopAll(t *testing.T) {
	t.Helper()
	for _, r := range f.replicas {
		r.finish()
	}
	for _, r := range f.replicas {
		r.await(t)
	}
}

// A stage is what goes on in the world for a while. It ends where the next begins.
type stage struct {
	name  string
	fault bool // calls may fail
	began time.Time
}

func (f *fleet) enter(name string, fault bool) {
	f.stages = append(f.stages, stage{name, fault, time.Now()})
}

// stageAt returns the index of the stage at a given time, -1 before the first.
func (f *fleet) stageAt(at time.Time) int {
	for i, s := range f.stages {
		if at.Before(s.began) {
			return i - 1
		}
	}
	return len(f.stages) - 1
}

// awaitCalls waits until each replica has made a call that began after the given time and went
// well, and returns how long after that the last of these calls was over.
func (f *fleet) awaitCalls(t *testing.T, after time.Time) (took time.Duration) {
	t.Helper()
	for name := range f.replicas {
		await(t, "a good call of "+name, func() bool {
			if f.provider.Reuses() > 0 {
				t.Fatal("a refresh token has been used twice, and the login is lost")
			}
			ended, ok := f.record.firstGood(name, after)
			took = max(took, ended.Sub(after))
			return ok
		})
	}
	return took
}

// await waits until something has happened.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited for %s for 30 s", what)
		}
	}
}

// receive returns the token request that is held.
func receive(t *testing.T, requests <-chan *held) *held {
	t.Helper()
	select {
	case h := <-requests:
		return h
	case <-time.After(30 * time.Second):
		t.Fatal("waited for a token request for 30 s")
		return nil
	}
}
