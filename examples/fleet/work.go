package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/redisstore"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A job is what a process is told. It is the same for both.
type job struct {
	API          string
	TokenURL     string
	ClientID     string
	ClientSecret string
	RefreshToken string // the first, which only one of them can use
	File         string
	Redis        string
	Grant        string
}

// work does the job that text tells of: it sends requests until its standard input ends, and logs
// what became of tokens to its standard output.
func work(ctx context.Context, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	var store auth.Store = auth.NewFileStore(j.File)
	if j.Redis != "" {
		options, err := redis.ParseURL(j.Redis)
		if err != nil {
			return err
		}
		client := redis.NewClient(options)
		defer client.Close() //nolint:errcheck // The process ends.
		store = redisstore.Store{Client: client}
	}
	source := auth.RefreshToken{
		TokenURL: j.TokenURL, ClientID: j.ClientID, ClientSecret: j.ClientSecret, RefreshToken: j.RefreshToken,
	}
	authorized := auth.New(auth.Config{Source: source, Store: store, Grant: j.Grant})
	p, err := pipeline.New("orders", authorized)
	if err != nil {
		return err
	}
	p = p.WithObserver(logTo(slog.New(slog.NewJSONHandler(os.Stdout, nil))))
	if err := j.send(ctx, &http.Client{Transport: p.Transport(nil)}); err != nil {
		return err
	}
	return authorized.Close(ctx) // what is under way is saved
}

func logTo(logger *slog.Logger) func(context.Context, policy.Event) {
	return func(ctx context.Context, event policy.Event) {
		logger.LogAttrs(ctx, slog.LevelInfo, event.Name, event.Attrs...)
	}
}

// send sends requests, all of which must succeed.
func (j job) send(ctx context.Context, client *http.Client) error {
	enough := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(enough)
	}()
	for n := 1; ; n++ {
		if err := get(ctx, client, fmt.Sprintf("%s/orders/%d", j.API, n)); err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-enough:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
