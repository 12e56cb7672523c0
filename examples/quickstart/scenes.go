package main

import (
	"context"
	"time"

	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
)

const (
	tokenLifetime = 4 * time.Second
	openFor       = 1500 * time.Millisecond
	outage        = 2 * time.Second
)

// A stage is where scenes are played.
type stage struct {
	provider *idp.Server
	server   *api.Server
}

// A scene is a request to which something happens.
type scene struct {
	title   string
	prepare func(context.Context, *stage)
	fails   bool // whether the request should fail
}

var scenes = []scene{
	{title: "The first request, for which there is no token yet", prepare: calm},
	{title: "Another one, while the token is good", prepare: calm},
	{title: "The server asks for a second (503, Retry-After)", prepare: faults(api.Unavailable(time.Second))},
	{title: "The connection is reset", prepare: faults(api.Reset)},
	{title: "The server hangs", prepare: faults(api.Stall(0))},
	{title: "The token is revoked before its time (401)", prepare: func(_ context.Context, s *stage) { s.provider.RevokeAccessTokens() }},
	{title: "The token has expired, after 4 s", prepare: func(ctx context.Context, _ *stage) { pause(ctx, tokenLifetime) }},
	{title: "An outage begins: the circuit opens", fails: true, prepare: func(_ context.Context, s *stage) { s.server.Outage(outage, api.Reset) }},
	{title: "The circuit is open: no request is sent", fails: true, prepare: calm},
	{title: "The outage is over, 2 s later: a probe closes the circuit", prepare: func(ctx context.Context, _ *stage) { pause(ctx, outage) }},
	{title: "All is well again", prepare: calm},
}

// sceneOf returns the scene of the i-th request.
func sceneOf(i int) scene {
	if i < len(scenes) {
		return scenes[i]
	}
	return scene{title: "And on it goes", prepare: calm}
}

func calm(context.Context, *stage) {}

// faults has the server fail with each of them once.
func faults(faults ...api.Fault) func(context.Context, *stage) {
	return func(_ context.Context, s *stage) { s.server.Fail(faults...) }
}

// pause lets time pass.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
