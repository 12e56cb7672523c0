package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// An order is what a replica is told. It calls the API until its standard input ends.
type order struct {
	Replica      string
	API          string
	TokenURL     string
	ClientID     string
	ClientSecret string
	RefreshToken string
	Store        string // its kind, or "" to keep the login to itself
	Where        string // the store is
	Grant        string // the key in the store
	Timeout      time.Duration
}

// What each replica does.
const (
	callers   = 3
	thinkTime = 100 * time.Millisecond // of a caller, between two calls
	deadline  = 8 * time.Second        // of a call
)

// obey carries out an order, and reports on standard output.
func obey(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	store, closeStore, err := openStore(o)
	if err != nil {
		return err
	}
	defer closeStore()
	config := auth.Config{Source: o.source(), Timeout: o.Timeout}
	if store != nil {
		config.Store, config.Grant = store, o.Grant
	}
	authorized := auth.New(config)
	p, err := pipeline.New("replica", authorized)
	if err != nil {
		return err
	}
	out := reporter{json: json.NewEncoder(os.Stdout)}
	p = p.WithObserver(func(_ context.Context, e policy.Event) { out.report(report{Event: e.Name}) })
	o.call(&http.Client{Transport: p.Transport(nil)}, &out)

	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	return authorized.Close(ctx)
}

func (o order) source() auth.RefreshToken {
	return auth.RefreshToken{
		TokenURL:     o.TokenURL,
		ClientID:     o.ClientID,
		ClientSecret: o.ClientSecret,
		RefreshToken: o.RefreshToken,
		HTTPClient:   &http.Client{Transport: signed(o.Replica)},
	}
}

// signed is a transport that says which replica a request is from.
type signed string

const replicaHeader = "X-Replica"

// RoundTrip implements [http.RoundTripper].
func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(replicaHeader, string(s))
	return http.DefaultTransport.RoundTrip(r)
}

// call has all callers call the API until standard input ends.
func (o order) call(client *http.Client, out *reporter) {
	enough := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(enough)
	}()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for {
				c := callOnce(client, o.API)
				out.report(report{Call: &c})
				select {
				case <-time.After(thinkTime):
				case <-enough:
					return
				}
			}
		})
	}
	all.Wait()
}

func callOnce(client *http.Client, url string) call {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	c := call{Began: time.Now()}
	status, err := get(ctx, client, url)
	c.Ended, c.Status = time.Now(), status
	if err != nil {
		c.Error = err.Error()
		c.Class = policy.ClassOf(err).String()
		c.Reauth = errors.Is(err, auth.ErrReauthRequired)
		c.Unavailable = errors.Is(err, auth.ErrTokenUnavailable)
	}
	return c
}

func get(ctx context.Context, client *http.Client, url string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}
