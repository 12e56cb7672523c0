package main

import (
	"time"

	"github.com/evenkeel-go/evenkeel/examples/internal/api"
)

// cycle is how long the script takes, before it begins again.
const cycle = 10 * time.Second

// A scene is something that happens, at a time since the beginning.
type scene struct {
	at     time.Duration
	title  string
	happen func(*shop) error
}

var script = []scene{
	{0, "all is well", calm},
	{1 * time.Second, "the orders API answers 503, three times", fail(api.Unavailable(0), api.Unavailable(0), api.Unavailable(0))},
	{2 * time.Second, "the orders API hangs, twice", fail(api.Stall(0), api.Stall(0))},
	{3 * time.Second, "all tokens are revoked", func(s *shop) error { s.login.RevokeAccessTokens(); return nil }},
	{4 * time.Second, "the orders API is down; meanwhile the token expires", func(s *shop) error { s.orders.Down(); return nil }},
	{6500 * time.Millisecond, "the orders API is up again", func(s *shop) error { return s.orders.Up() }},
}

// sceneOf returns the i-th scene, for which the script is repeated.
func sceneOf(i int) scene {
	s := script[i%len(script)]
	s.at += time.Duration(i/len(script)) * cycle
	return s
}

func calm(*shop) error { return nil }

// fail has the orders API fail the next requests.
func fail(faults ...api.Fault) func(*shop) error {
	return func(s *shop) error { s.orders.Fail(faults...); return nil }
}
