package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

// A client has the sequence written by hand, as it is found in many programs. It
// guards its token against data races, and still gets it wrong: every goroutine
// that sees a 401 refreshes.
type client struct {
	http   *http.Client
	config oauth2.Config

	mu    sync.Mutex
	token *oauth2.Token
}

// byHand returns a getter that does by hand what the auth policy does.
func byHand(provider *idp.Server, token *oauth2.Token) getter {
	c := &client{http: &http.Client{Transport: base()}, token: token}
	c.config.ClientID, c.config.ClientSecret = provider.ClientID, provider.ClientSecret
	c.config.Endpoint = oauth2.Endpoint{TokenURL: provider.TokenURL, AuthStyle: oauth2.AuthStyleInHeader}
	return c.get
}

func (c *client) get(ctx context.Context, url string) error {
	response, err := send(ctx, c.http, url, c.current().AccessToken)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return verdict(response, err)
	}
	_ = response.Body.Close()
	if err := c.refresh(ctx); err != nil {
		return err
	}
	return verdict(send(ctx, c.http, url, c.current().AccessToken))
}

func (c *client) current() *oauth2.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

func (c *client) refresh(ctx context.Context) error {
	spent := &oauth2.Token{RefreshToken: c.current().RefreshToken}
	token, err := c.config.TokenSource(ctx, spent).Token()
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
	return nil
}

// send sends a request, with a token if there is one.
func send(ctx context.Context, client *http.Client, url, token string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return client.Do(req)
}

// verdict closes the response and reports whether it is what was asked for.
func verdict(response *http.Response, err error) error {
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
