// Fleet has two processes share one login: whichever of them needs a token first asks the server
// for it, and the other one adopts it. It shows who did what, and when.
//
// Everything is real and runs on loopback: an OpenID provider whose refresh tokens are good for one
// use, an API that verifies its tokens, and two processes, which are this program, started again.
// They share the login in a file, or in Redis.
//
//	go run ./examples/fleet
//	go run ./examples/fleet -redis redis://localhost:6379/0
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
)

const (
	tokenLifetime = 2 * time.Second
	untilRevoked  = 3 * time.Second
	afterwards    = 2 * time.Second
)

func main() {
	redisURL := flag.String("redis", "", "`URL` of a Redis server to share the login in, such as redis://localhost:6379/0")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if text, ok := os.LookupEnv(jobVariable); ok {
		err = work(ctx, text)
	} else {
		err = run(ctx, *redisURL)
	}
	if err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// run runs the world, and two processes in it. It returns an error if anything is not as promised.
func run(ctx context.Context, redisURL string) error {
	provider, err := idp.Start(idp.Config{AccessTokenLifetime: tokenLifetime})
	if err != nil {
		return err
	}
	defer provider.Close()
	server, err := api.Start(api.Config{Verify: provider.Verify})
	if err != nil {
		return err
	}
	defer server.Close()
	login, err := provider.Grant(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fleet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // It is a temporary one.
	j := job{
		API:          server.URL,
		TokenURL:     provider.TokenURL,
		ClientID:     provider.ClientID,
		ClientSecret: provider.ClientSecret,
		RefreshToken: login.RefreshToken,
		File:         filepath.Join(dir, "tokens"),
		Redis:        redisURL,
		Grant:        "example " + rand.Text(),
	}
	defer j.forget(context.WithoutCancel(ctx)) //nolint:errcheck // It is of no use to anybody.

	board := newBoard(os.Stdout)
	if err := together(ctx, j, board, provider); err != nil {
		return err
	}
	return board.report(provider)
}

// together runs two processes until the time is over. In the midst, their token is revoked.
func together(ctx context.Context, j job, b *board, provider *idp.Server) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failures [2]error
	var all sync.WaitGroup
	enough := make(chan struct{})
	for i := range failures {
		all.Go(func() {
			failures[i] = start(ctx, j, enough, func(line line) { b.show(i, line) })
			if failures[i] != nil {
				cancel()
			}
		})
	}
	wait(ctx, untilRevoked)
	b.say("the server revokes the access token")
	provider.RevokeAccessTokens()
	wait(ctx, afterwards)
	close(enough)
	all.Wait()
	return errors.Join(failures[:]...)
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// forget deletes what is in Redis.
func (j job) forget(ctx context.Context) error {
	if j.Redis == "" {
		return nil
	}
	options, err := redis.ParseURL(j.Redis)
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	return errors.Join(client.Del(ctx, "evenkeel:auth:"+j.Grant).Err(), client.Close())
}
