package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// A login is an authorization server, without a socket. It takes a while.
type login struct {
	expiresIn int      // seconds; 0 for an hour
	replies   []string // instead of tokens, at first; "" for a token

	mu   sync.Mutex
	made int
}

func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	time.Sleep(100 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	if l.made <= len(l.replies) && l.replies[l.made-1] != "" {
		code, body, _ := strings.Cut(l.replies[l.made-1], " ")
		return l.reply(req, code, body)
	}
	lifetime := max(l.expiresIn, 0)
	if lifetime == 0 {
		lifetime = 3600
	}
	return l.reply(req, "200", fmt.Sprintf(`{"access_token":"canary%d","token_type":"Bearer","expires_in":%d,"refresh_token":"canary-r%d"}`, l.made, lifetime, l.made))
}

func (l *login) reply(req *http.Request, code, body string) (*http.Response, error) {
	response := &http.Response{Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}
	_, err := fmt.Sscan(code, &response.StatusCode)
	return response, err
}

func (l *login) refreshToken() auth.RefreshToken {
	return auth.RefreshToken{TokenURL: "https://login.example.com/token", ClientID: "orders", ClientSecret: "canary", RefreshToken: "canary-r0", HTTPClient: &http.Client{Transport: l}}
}

func (l *login) policy() *auth.Policy { return auth.New(auth.Config{Source: l.refreshToken()}) }

// A sourceFunc is a source that is a function.
type sourceFunc func(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error)

func (f sourceFunc) Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	return f(ctx, old)
}

// A flakyStore is out of reach for Swaps of the given numbers, counted from 1.
type flakyStore struct {
	auth.Store
	fails map[int]func(ctx context.Context) // does something before it fails

	mu    sync.Mutex
	swaps int
}

var errDown = errors.New("the store is down")

func (s *flakyStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	s.mu.Lock()
	s.swaps++
	first, fails := s.fails[s.swaps]
	s.mu.Unlock()
	if !fails {
		return s.Store.Swap(ctx, key, value, rev)
	}
	if first != nil {
		first(ctx)
	}
	return 0, errDown
}
