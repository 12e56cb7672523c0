package benchmarks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	azcore "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azpolicy "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

// A bearer makes transports that send a token with each request over base, and get another one if a
// server refuses it.
type bearer func(tokens clientcredentials.Config, base http.RoundTripper) http.RoundTripper

var bearers = []struct {
	name   string
	create bearer
}{
	{ours, newAuthTransport},
	{"singleflight", newSingleflight},
	{"azcore", newAzcoreBearer},
	{"hand-written", newHandWrittenBearer},
}

func newAuthTransport(tokens clientcredentials.Config, base http.RoundTripper) http.RoundTripper {
	source := auth.ClientCredentials{TokenURL: tokens.TokenURL, ClientID: tokens.ClientID, AuthStyle: tokens.AuthStyle}
	return pipeline.Must(pipeline.New("users", auth.New(auth.Config{Source: source}))).Transport(base)
}

// A handWrittenBearer is guarded against data races, and has each request that is refused get a token.
type handWrittenBearer struct {
	base  http.RoundTripper
	fetch func(ctx context.Context) (*oauth2.Token, error)

	mu    sync.Mutex
	token *oauth2.Token
}

func newHandWrittenBearer(tokens clientcredentials.Config, base http.RoundTripper) http.RoundTripper {
	return &handWrittenBearer{base: base, fetch: tokens.Token}
}

// newSingleflight is a handWrittenBearer with those that ask for a token at a time sharing one.
func newSingleflight(tokens clientcredentials.Config, base http.RoundTripper) http.RoundTripper {
	var group singleflight.Group
	return &handWrittenBearer{base: base, fetch: func(ctx context.Context) (*oauth2.Token, error) {
		token, err, _ := group.Do("token", func() (any, error) { return tokens.Token(ctx) })
		if err != nil {
			return nil, err
		}
		return token.(*oauth2.Token), nil
	}}
}

func (b *handWrittenBearer) RoundTrip(req *http.Request) (*http.Response, error) {
	token := b.current()
	if token == nil {
		var err error
		if token, err = b.renew(req.Context()); err != nil {
			return nil, err
		}
	}
	response, err := b.send(req, token)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	discard(response)
	if token, err = b.renew(req.Context()); err != nil {
		return nil, err
	}
	return b.send(req, token)
}

func (b *handWrittenBearer) send(req *http.Request, token *oauth2.Token) (*http.Response, error) {
	req = req.Clone(req.Context())
	token.SetAuthHeader(req)
	return b.base.RoundTrip(req)
}

func (b *handWrittenBearer) current() *oauth2.Token {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.token
}

func (b *handWrittenBearer) renew(ctx context.Context) (*oauth2.Token, error) {
	token, err := b.fetch(ctx)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = token
	return token, nil
}

// An azcoreCredential gets tokens for azcore.
type azcoreCredential struct{ tokens clientcredentials.Config }

func (c azcoreCredential) GetToken(ctx context.Context, _ azpolicy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.tokens.Token(ctx)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: token.AccessToken, ExpiresOn: token.Expiry}, nil
}

func newAzcoreBearer(tokens clientcredentials.Config, base http.RoundTripper) http.RoundTripper {
	refused := func(_ *azpolicy.Request, _ *http.Response, authorize func(azpolicy.TokenRequestOptions) error) error {
		return authorize(azpolicy.TokenRequestOptions{})
	}
	policy := azruntime.NewBearerTokenPolicy(azcoreCredential{tokens}, nil, &azpolicy.BearerTokenOptions{
		AuthorizationHandler:            azpolicy.AuthorizationHandler{OnChallenge: refused},
		InsecureAllowCredentialWithHTTP: true,
	})
	return azcoreTransport{azruntime.NewPipeline("users", "v1", azruntime.PipelineOptions{PerRetry: []azpolicy.Policy{policy}}, &azpolicy.ClientOptions{
		Transport: transporter{base},
		Retry:     azpolicy.RetryOptions{MaxRetries: -1},
		Telemetry: azpolicy.TelemetryOptions{Disabled: true},
	})}
}

// A world has a server that issues tokens, which takes a while, and one that refuses some of them.
type world struct {
	tokens   clientcredentials.Config
	resource *httptest.Server
	base     *http.Transport
	spread   time.Duration // over which answers of 401 are spread

	issued  atomic.Int64  // tokens
	revoked atomic.Int64  // the last of them that is not good any more
	refused atomic.Int64  // requests
	all     chan struct{} // closed when as many are refused as there are callers
}

const (
	callers = 1000
	renewal = 25 * time.Millisecond // is how long it takes to issue a token
)

func newWorld(tb testing.TB, spread time.Duration) *world {
	tb.Helper()
	w := &world{spread: spread, base: &http.Transport{MaxIdleConnsPerHost: callers}}
	endpoint := httptest.NewServer(http.HandlerFunc(w.issue))
	w.resource = httptest.NewServer(http.HandlerFunc(w.answer))
	w.tokens = clientcredentials.Config{ClientID: "test", TokenURL: endpoint.URL, AuthStyle: oauth2.AuthStyleInParams}
	tb.Cleanup(func() {
		w.base.CloseIdleConnections()
		w.resource.Close()
		endpoint.Close()
	})
	return w
}

func (w *world) issue(out http.ResponseWriter, _ *http.Request) {
	time.Sleep(renewal)
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(map[string]any{
		"access_token": fmt.Sprint(w.issued.Add(1)), "token_type": "Bearer", "expires_in": 3600,
	})
}

func (w *world) answer(out http.ResponseWriter, req *http.Request) {
	var token int64
	_, err := fmt.Sscan(strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer "), &token)
	if err == nil && token > w.revoked.Load() {
		return
	}
	n := w.refused.Add(1)
	if n == callers {
		close(w.all)
	}
	select {
	case <-w.all:
		time.Sleep(w.spread * time.Duration(n) / callers)
	case <-req.Context().Done():
	}
	out.Header().Set("WWW-Authenticate", `Bearer realm="users", error="invalid_token"`)
	out.WriteHeader(http.StatusUnauthorized)
}

// refreshes has callers use a token that was revoked, all of them, and returns how many tokens were
// issued until each of them had its answer.
func (w *world) refreshes(ctx context.Context, create bearer) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: create(w.tokens, w.base)}
	if err := w.get(ctx, client); err != nil { // and so the first token
		return 0, err
	}
	before := w.issued.Load()
	w.revoked.Store(before)
	w.refused.Store(0)
	w.all = make(chan struct{})
	var calls sync.WaitGroup
	failed := make(chan error, callers)
	for range callers {
		calls.Go(func() {
			if err := w.get(ctx, client); err != nil {
				failed <- err
			}
		})
	}
	calls.Wait()
	close(failed)
	return w.issued.Load() - before, <-failed
}

func (w *world) get(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.resource.URL, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(req)
	if err != nil {
		return err
	}
	drain(response)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("got %s, want 200", response.Status)
	}
	return nil
}

// spreads are over how long a time the answers of 401 come.
var spreads = []struct {
	name string
	time time.Duration
}{{"at-once", 0}, {"spread-out", 4 * renewal}}

// BenchmarkRefresh has 1,000 goroutines use a token that was revoked: they get their 401 all at once,
// or spread out over four times as long as it takes to get a token. What counts is how many tokens
// they get. It is W9 of the report.
func BenchmarkRefresh(b *testing.B) {
	for _, c := range bearers {
		for _, spread := range spreads {
			b.Run(c.name+"/"+spread.name, func(b *testing.B) {
				w := newWorld(b, spread.time)
				refreshes := int64(0)
				for b.Loop() {
					n, err := w.refreshes(b.Context(), c.create)
					if err != nil {
						b.Fatal(err)
					}
					refreshes += n
				}
				b.ReportMetric(float64(refreshes)/float64(b.N), "refreshes/op")
			})
		}
	}
}

// TestRefreshesAreShared checks what is worth more than any speed, and that others come to an end, too.
func TestRefreshesAreShared(t *testing.T) {
	for _, c := range bearers {
		for _, spread := range spreads {
			if c.name != ours && spread.time > 0 {
				continue // takes long, and tells nothing new
			}
			t.Run(c.name+" "+spread.name, func(t *testing.T) {
				n, err := newWorld(t, spread.time).refreshes(t.Context(), c.create)
				if err != nil {
					t.Fatal(err)
				}
				if n < 1 || n > 1 && c.name == ours {
					t.Errorf("1,000 goroutines whose token was revoked got %d others, want 1", n)
				}
			})
		}
	}
}
