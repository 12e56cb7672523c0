// Sequence puts the sequence that every API client writes by hand beside ours:
// send the request with the current token; on 401 get a new token with the
// refresh token; send the request again; report an error if the refresh fails.
//
// Both meet a real OpenID provider, whose refresh tokens are good for one use,
// with a thousand goroutines at a time and a token that has just been revoked.
//
//	go run ./examples/sequence
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

const goroutines = 1000

// A getter gets an order, authorized.
type getter func(ctx context.Context, url string) error

func main() {
	fmt.Printf("%d goroutines, each with a request, and a token that is refused:\n\n", goroutines)
	for _, contender := range []struct {
		name string
		new  func(*idp.Server, *oauth2.Token) getter
	}{
		{"written by hand", byHand},
		{"evenkeel", byPipeline},
	} {
		if err := storm(contender.name, contender.new); err != nil {
			fmt.Fprintln(os.Stderr, "sequence:", err)
			os.Exit(1)
		}
	}
}

// storm has all goroutines send a request at once, and prints what came of it.
func storm(name string, newGetter func(*idp.Server, *oauth2.Token) getter) error {
	provider, err := idp.Start(idp.Config{})
	if err != nil {
		return err
	}
	defer provider.Close()
	server, err := api.Start(api.Config{Verify: provider.Verify})
	if err != nil {
		return err
	}
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	token, err := provider.Grant(ctx)
	if err != nil {
		return err
	}
	get := newGetter(provider, token)
	provider.RevokeAccessTokens()

	var failed atomic.Int64
	var all sync.WaitGroup
	for i := range goroutines {
		all.Go(func() {
			if get(ctx, fmt.Sprintf("%s/orders/%d", server.URL, i)) != nil {
				failed.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Printf("%-16s %4d refreshes, %4d requests failed, %d logins revoked\n",
		name+":", provider.TokenRequests(), failed.Load(), provider.Reuses())
	if name == "evenkeel" && (provider.TokenRequests() != 1 || failed.Load() > 0) {
		return errors.New("want 1 refresh and no failure")
	}
	return nil
}

// byPipeline returns a getter whose requests pass through the auth policy.
func byPipeline(provider *idp.Server, token *oauth2.Token) getter {
	policy := auth.New(auth.Config{Source: auth.RefreshToken{
		TokenURL:     provider.TokenURL,
		ClientID:     provider.ClientID,
		ClientSecret: provider.ClientSecret,
		RefreshToken: token.RefreshToken,
	}})
	if err := policy.SetToken(context.Background(), token); err != nil {
		panic(err)
	}
	p := pipeline.Must(pipeline.New("orders", policy))
	client := &http.Client{Transport: p.Transport(base())}
	return func(ctx context.Context, url string) error {
		return verdict(send(ctx, client, url, ""))
	}
}

// base returns a transport that does not open a thousand connections at a time.
func base() http.RoundTripper { return &http.Transport{MaxConnsPerHost: 50} }
