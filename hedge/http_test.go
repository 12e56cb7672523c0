package hedge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// orderings are pipelines with a hedge in all the places that it may have, with
// policies of short delays, which are made anew for each.
var orderings = map[string]func() []policy.Policy{
	"hedge":       func() []policy.Policy { return []policy.Policy{quick(1)} },
	"many hedges": func() []policy.Policy { return []policy.Policy{quick(5)} },
	"retry outside of hedge": func() []policy.Policy {
		return []policy.Policy{tries(), quick(2)}
	},
	"hedge outside of retry": func() []policy.Policy {
		return []policy.Policy{quick(2), tries()}
	},
	"two hedges": func() []policy.Policy {
		return []policy.Policy{quick(2), quick(2)}
	},
	"two hedges around a retry": func() []policy.Policy {
		return []policy.Policy{quick(1), tries(), quick(1)}
	},
	"outermost": func() []policy.Policy {
		return []policy.Policy{quick(2), tries(), breaker.New(breaker.Config{}), authorized(), limit(20)}
	},
	"as recommended": func() []policy.Policy {
		return []policy.Policy{limit(200), tries(), quick(1), breaker.New(breaker.Config{}), authorized(), limit(20)}
	},
	"inside of all": func() []policy.Policy {
		return []policy.Policy{authorized(), breaker.New(breaker.Config{}), tries(), limit(20), quick(2)}
	},
	"in a nested pipeline": func() []policy.Policy {
		return []policy.Policy{tries(), pipeline.Must(pipeline.New("inner", quick(2), tries())), limit(20)}
	},
}

func quick(hedges int) policy.Policy {
	return hedge.New(hedge.Config{Delay: 2 * time.Millisecond, MaxHedges: hedges, Budget: retry.Unlimited})
}

func tries() policy.Policy {
	return retry.New(retry.Config{InitialInterval: time.Millisecond, MaxInterval: 3 * time.Millisecond, Budget: retry.Unlimited})
}

func limit(ms time.Duration) policy.Policy {
	return timeout.New(timeout.Config{Limit: ms * time.Millisecond})
}

// authorized returns a policy whose tokens are all different.
func authorized() policy.Policy {
	return auth.New(auth.Config{AllowInsecure: true, Source: &tokens{}})
}

type tokens struct{ made atomic.Int32 }

func (s *tokens) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	if err := policy.Sleep(ctx, time.Millisecond); err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: fmt.Sprint("token", s.made.Add(1)), TokenType: "Bearer"}, nil
}

// A world is a base transport whose answers come late or never, and some of which are
// failures. It knows what has become of their bodies.
type world struct {
	t    *testing.T
	rand func(n int) int

	opened, closed atomic.Int64
}

func newWorld(t *testing.T, seed uint64) *world {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0))
	return &world{t: t, rand: func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}}
}

var errReset = errors.New("connection reset")

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
		if sent, err := io.ReadAll(req.Body); string(sent) != "order" || err != nil {
			w.t.Errorf("server got %q, %v, want the whole body", sent, err)
		}
	}
	takes := time.Duration(w.rand(6)) * time.Millisecond // often at the very moment of something else
	switch w.rand(8) {
	case 0:
		takes = time.Hour
	case 1:
		time.Sleep(takes) // does not heed its context
		return w.answer(200)
	}
	if err := policy.Sleep(req.Context(), takes); err != nil {
		return nil, err
	}
	switch w.rand(8) {
	case 0:
		return nil, errReset
	case 1:
		return w.answer(401)
	case 2, 3:
		return w.answer(503)
	case 4:
		return w.answer(501)
	default:
		return w.answer(200)
	}
}

func (w *world) answer(code int) (*http.Response, error) {
	w.opened.Add(1)
	text := strings.Repeat(fmt.Sprint(code), 1+w.rand(100))
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: &watched{world: w, Reader: strings.NewReader(text)}}, nil
}

type watched struct {
	*strings.Reader
	world  *world
	closed atomic.Bool
}

func (b *watched) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, errors.New("read of a closed body")
	}
	return b.Reader.Read(p)
}

func (b *watched) Close() error {
	if !b.closed.Swap(true) {
		b.world.closed.Add(1)
	}
	return nil
}

func TestEveryBodyIsClosedAndTheWinnersIsWhole(t *testing.T) {
	for name, policies := range orderings {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(25) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed)
					rt := pipeline.Must(pipeline.New("test", policies()...)).Transport(w)
					var callers sync.WaitGroup
					for i := range 8 {
						callers.Go(func() { w.request(t, rt, i) })
					}
					callers.Wait()
					if opened, closed := w.opened.Load(), w.closed.Load(); opened != closed {
						t.Errorf("seed %d: %d of %d bodies were closed", seed, closed, opened)
					}
				})
			}
		})
	}
}

// request makes a request, as a caller of some kind does.
func (w *world) request(t *testing.T, rt http.RoundTripper, caller int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if caller == 7 { // who leaves soon
		leave := time.AfterFunc(time.Duration(w.rand(5))*time.Millisecond, cancel)
		defer leave.Stop()
	}
	method, body := "GET", io.Reader(nil)
	if caller%2 == 1 {
		method, body = "PUT", strings.NewReader("order")
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost", body)
	if err != nil {
		t.Error(err)
		return
	}
	response, err := rt.RoundTrip(req)
	if err != nil {
		if response != nil {
			t.Errorf("RoundTrip() = %v, %v, want one of them", response, err)
		}
		return
	}
	time.Sleep(time.Second) // the losers are long gone
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if code := fmt.Sprint(response.StatusCode); err != nil || len(text) == 0 || strings.ReplaceAll(string(text), code, "") != "" {
		t.Errorf("body of %s is %q, %v, want it whole", code, text, err)
	}
}

// The same for functions: the result is one of an attempt, and none is under way
// any more.
func TestHedgedFunctionsInEveryOrder(t *testing.T) {
	for name, policies := range orderings {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(25) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, seed)
					p := pipeline.Must(pipeline.New("test", policies()...))
					var callers sync.WaitGroup
					for range 8 {
						callers.Go(func() { w.run(t, p) })
					}
					callers.Wait()
				})
			}
		})
	}
}

func (w *world) run(t *testing.T, p *pipeline.Pipeline) {
	var running atomic.Int32
	results := sync.Map{}
	got, err := pipeline.RunCall(t.Context(), p, policy.Call{Name: "test"}, func(ctx context.Context, _ policy.Call) (*int, error) {
		running.Add(1)
		defer running.Add(-1)
		if err := policy.Sleep(ctx, time.Duration(w.rand(6))*time.Millisecond); err != nil {
			return new(int), err
		}
		if w.rand(2) == 0 {
			return nil, errReset
		}
		result := new(int)
		results.Store(result, true)
		return result, nil
	})
	if n := running.Load(); n != 0 {
		t.Errorf("%d attempts under way when Run returned, want none", n)
	}
	if _, ok := results.Load(got); ok != (err == nil) {
		t.Errorf("Run() = %p, %v, want the result of an attempt, or an error", got, err)
	}
}

// A server answers on loopback, each request as its number says, from 1.
func serve(t *testing.T, handle func(n int32, w http.ResponseWriter, r *http.Request)) (s *httptest.Server, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(requests.Add(1), w, r) }))
	t.Cleanup(s.Close)
	return s, requests
}

func through(s *httptest.Server, policies ...policy.Policy) *http.Client {
	return &http.Client{Transport: pipeline.Must(pipeline.New("test", policies...)).Transport(s.Client().Transport)}
}

func request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// answer returns the body of the response to req.
func answer(t *testing.T, client *http.Client, req *http.Request) string {
	t.Helper()
	response, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("body ended with %v after %d bytes", err, len(text))
	}
	return string(text)
}

// slowly sends a MiB in pieces.
func slowly(w http.ResponseWriter) {
	for range 16 {
		_, _ = w.Write(make([]byte, 64<<10))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(2 * time.Millisecond)
	}
}

func TestAHedgeNeverCutsABody(t *testing.T) {
	for name, winner := range map[string]int32{"first attempt wins": 1, "hedge wins": 2} {
		t.Run(name, func(t *testing.T) {
			both := make(chan struct{})
			s, requests := serve(t, func(n int32, w http.ResponseWriter, r *http.Request) {
				if n == 2 {
					close(both)
				}
				if <-both; n != winner {
					<-r.Context().Done() // until the client hangs up
					return
				}
				slowly(w)
			})
			client := through(s, hedge.New(hedge.Config{Delay: 20 * time.Millisecond}))
			if got := answer(t, client, request(t, "GET", s.URL, nil)); len(got) != 1<<20 || requests.Load() != 2 {
				t.Errorf("got %d bytes after %d requests, want all %d after 2", len(got), requests.Load(), 1<<20)
			}
		})
	}
}

func TestHedgedRequestHasItsWholeBody(t *testing.T) {
	s, requests := serve(t, func(n int32, w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		if n == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprint(w, len(got))
	})
	client := through(s, hedge.New(hedge.Config{Delay: 20 * time.Millisecond}))
	if got := answer(t, client, request(t, "PUT", s.URL, strings.NewReader(strings.Repeat("x", 1<<20)))); got != "1048576" || requests.Load() != 2 {
		t.Errorf("server got %s bytes in the last of %d requests, want 1048576 in the second", got, requests.Load())
	}
}

func TestRequestsThatMustNotBeRepeatedAreNotHedged(t *testing.T) {
	stream := io.MultiReader(strings.NewReader("read once")) // of a type without GetBody
	for name, req := range map[string]*http.Request{
		"POST":                          request(t, "POST", "", nil),
		"PUT of what is read only once": request(t, "PUT", "", stream),
	} {
		t.Run(name, func(t *testing.T) {
			s, requests := serve(t, func(int32, http.ResponseWriter, *http.Request) { time.Sleep(50 * time.Millisecond) })
			target := request(t, "GET", s.URL, nil)
			req.URL, req.Host = target.URL, target.Host
			_ = answer(t, through(s, hedge.New(hedge.Config{Delay: time.Millisecond, MaxHedges: 3, Budget: retry.Unlimited})), req)
			if got := requests.Load(); got != 1 {
				t.Errorf("server got %d requests, want 1", got)
			}
		})
	}
}

// A server that hangs gets the hedge, too, and nothing is left of either when the
// caller has left.
func TestLosersOfHTTPAreGoneWhenTheCallIs(t *testing.T) {
	var hanging atomic.Int32
	s, _ := serve(t, func(n int32, _ http.ResponseWriter, r *http.Request) {
		if n%2 == 0 {
			return
		}
		hanging.Add(1)
		<-r.Context().Done()
		hanging.Add(-1)
	})
	client := through(s, hedge.New(hedge.Config{Delay: 5 * time.Millisecond, Budget: retry.Unlimited}))
	for range 20 {
		start := time.Now()
		_ = answer(t, client, request(t, "GET", s.URL, nil))
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a call took %v, want the loser to hold it up no longer than it takes to hang up", took)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); hanging.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests hang on the server, want the client to have hung up", hanging.Load())
		}
	}
}
