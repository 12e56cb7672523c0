package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/throttle"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// FuzzPipelines makes calls through random trees of policies, whose operations end in
// random ways. The shape is the tree, the seed is the fate of the calls. Whatever they are:
// each call ends, and in time; none runs more often than its retries may; a Once call is made no
// more once it may have taken effect; results and errors are those of operations, or a
// policy's refusal; every body is closed, every span ended, no count negative; and a while
// later all works again.
func FuzzPipelines(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		shape := make([]byte, 4+random.IntN(16))
		for i := range shape {
			shape[i] = byte(random.Uint32())
		}
		f.Add(shape, random.Uint64())
	}
	f.Fuzz(func(t *testing.T, shape []byte, seed uint64) {
		synctest.Test(t, func(t *testing.T) { newWorld(t, shape, seed).run() })
	})
}

// A world is a random pipeline and the calls that it carries.
type world struct {
	*testing.T
	shape    []byte
	seed     uint64
	pipeline *pipeline.Pipeline
	spans    *tracetest.SpanRecorder
	bodies   tracked

	nodes   int // policies, in all
	most    int // how often a call may run
	races   bool
	gauged  []interface{ Gauges() iter.Seq[policy.Gauge] }
	closers []*auth.Policy
	budget  *retry.Budget
	calm    atomic.Bool // nothing fails or takes time any more
}

func newWorld(t *testing.T, shape []byte, seed uint64) *world {
	w := &world{T: t, shape: shape, seed: seed, most: 1, spans: tracetest.NewSpanRecorder(), budget: retry.NewBudget(retry.BudgetConfig{})}
	p, err := pipeline.New("fuzz", w.policies(0)...)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Warnings()
	w.pipeline = p.WithObserver(w.observe)
	if w.draw(2) == 0 {
		w.pipeline = w.pipeline.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)))
	}
	return w
}

// draw returns a number below n by the shape.
func (w *world) draw(n int) int {
	if len(w.shape) == 0 {
		return 0
	}
	b := w.shape[0]
	w.shape = w.shape[1:]
	return int(b) % n
}

// policies returns some policies, at least one.
func (w *world) policies(depth int) []policy.Policy {
	var all []policy.Policy
	for len(all) == 0 || w.nodes < 7 && w.draw(4) > 0 {
		w.nodes++
		all = append(all, w.policy(depth))
	}
	return all
}

func (w *world) policy(depth int) policy.Policy {
	switch w.draw(11) {
	case 1:
		config := retry.Config{MaxAttempts: 1 + w.draw(4), Jitter: retry.Jitter(w.draw(4)), InitialInterval: w.duration()}
		config.Budget = []*retry.Budget{nil, w.budget, retry.Unlimited}[w.draw(3)]
		w.most *= config.MaxAttempts
		return retry.New(config)
	case 2:
		return w.breaker()
	case 3:
		return timeout.New(timeout.Config{Limit: w.duration()})
	case 4:
		return policy.Shadow(w.breaker())
	case 5:
		w.most *= 2
		w.races = true
		return policy.New("racing", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			if call.Once {
				return next(ctx, call)
			}
			return racing(2).Do(ctx, call, next)
		})
	case 6:
		w.most *= 3
		p := auth.New(auth.Config{Source: randomTokens{w}})
		w.closers = append(w.closers, p)
		return p
	case 7:
		p := bulkhead.New(bulkhead.Config{Slots: 1 + w.draw(3), MaxWait: w.duration(), MaxQueue: 1 + w.draw(3), Global: w.draw(2) == 0})
		w.gauged = append(w.gauged, p)
		return p
	case 8:
		p := limit.New(limit.Config{Initial: 1, Max: 1 + w.draw(4), Window: w.duration() * 100})
		w.gauged = append(w.gauged, p)
		return p
	case 9:
		hedges := 1 + w.draw(2)
		w.most *= 1 + hedges
		return hedge.New(hedge.Config{Delay: w.duration(), MaxHedges: hedges, Budget: w.budget})
	case 10:
		return throttle.New(throttle.Config{Window: w.duration() * 1000, MinCalls: 1 + w.draw(4)})
	default:
		if depth > 2 {
			return policy.New("pass", passOn)
		}
		return pipeline.Must(pipeline.New("nested", w.policies(depth+1)...))
	}
}

func (w *world) breaker() policy.Policy {
	p := breaker.New(breaker.Config{
		ConsecutiveFailures: 1 + w.draw(4), MinCalls: 1 + w.draw(8), Probes: 1 + w.draw(3),
		OpenFor: w.duration(), ProbeTimeout: w.duration(), Window: w.duration() * 10,
	})
	w.gauged = append(w.gauged, p)
	return p
}

func (w *world) duration() time.Duration { return time.Millisecond << w.draw(12) }

// randomTokens is a source of tokens that fails at times.
type randomTokens struct{ *world }

func (s randomTokens) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	n := rand.IntN(8)
	if s.calm.Load() {
		return &oauth2.Token{AccessToken: "last token"}, nil
	}
	if err := policy.Sleep(ctx, time.Duration(n)*time.Millisecond); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errTest
	}
	return &oauth2.Token{AccessToken: fmt.Sprint("token ", n), Expiry: time.Now().Add(time.Minute)}, nil
}

var eventName = regexp.MustCompile(`^[a-z]+\.[a-z_]+$`)

func (w *world) observe(_ context.Context, event policy.Event) {
	if !eventName.MatchString(event.Name) {
		w.Errorf("event %q: want package.past_participle", event.Name)
	}
}

// run makes calls, one after the other and some at a time.
func (w *world) run() {
	random := rand.New(rand.NewPCG(w.seed, 0))
	var calls sync.WaitGroup
	for i := range 1 + random.Uint64N(12) {
		c := newFate(w, i+1)
		calls.Go(func() { w.call(c) })
		if random.IntN(2) == 0 {
			calls.Wait()
		}
		time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
	}
	calls.Wait()
	w.check()
}

// A fate is what is to become of a call.
type fate struct {
	*world
	http, once bool
	limit      time.Duration

	mu     sync.Mutex
	random *rand.Rand
	runs   int
	sent   bool            // it may have taken effect
	values map[string]bool // the results of its runs
}

func newFate(w *world, i uint64) *fate {
	random := rand.New(rand.NewPCG(w.seed, i))
	return &fate{
		world: w, http: random.IntN(2) == 0, once: random.IntN(2) == 0,
		limit:  time.Millisecond << random.IntN(18),
		random: random, values: make(map[string]bool),
	}
}

// call makes a call, and checks how it ended.
func (w *world) call(c *fate) {
	ctx, cancel := context.WithTimeout(w.Context(), c.limit)
	defer cancel()
	if c.random.IntN(4) == 0 {
		c.limit = c.limit/2 + 1
		defer time.AfterFunc(c.limit, cancel).Stop()
	}
	start, returned := time.Now(), false
	defer func() {
		v := recover()
		if v != nil && v != any(errTest) {
			w.Errorf("panic of %v, want that of the operation", v)
		}
		if took := time.Since(start); took > c.limit {
			w.Errorf("the call took %v (panic %v, returned %v), want at most %v", took, v, returned, c.limit)
		}
		if c.runs > w.most {
			w.Errorf("the operation ran %d times, want at most %d", c.runs, w.most)
		}
	}()
	c.checkError(c.make(ctx))
	returned = true
}

func (c *fate) make(ctx context.Context) error {
	if !c.http {
		value, err := pipeline.RunCall(ctx, c.pipeline, policy.Call{Name: "test", Once: c.once}, c.operate)
		if err == nil && !c.values[value] {
			c.Errorf("result %q is not one of %v", value, c.values)
		}
		return err
	}
	method := "GET"
	if c.once {
		method = "POST"
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://api.example.com", nil)
	if err != nil {
		return err
	}
	response, err := c.pipeline.Transport(roundTripper(c.roundTrip)).RoundTrip(req)
	if err == nil {
		_ = response.Body.Close()
	}
	return err
}

// roundTrip sends what became of the operation as an answer, if that can be.
func (c *fate) roundTrip(req *http.Request) (*http.Response, error) {
	_, err := c.operate(req.Context(), policy.Call{})
	code := 200
	if status, ok := errors.AsType[*pipeline.StatusError](err); ok {
		code = status.StatusCode
	} else if err != nil {
		return nil, err
	}
	c.bodies.opened.Add(1)
	return &http.Response{StatusCode: code, Body: &trackedBody{strings.NewReader("body"), &c.bodies}}, nil
}

// operate is the operation.
func (c *fate) operate(ctx context.Context, _ policy.Call) (value string, err error) {
	took, end := c.begin()
	returned := false
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent = c.sent || !returned || err == nil || !policy.NoEffect(err) && policy.ClassOf(err) != policy.Unauthenticated
		if err == nil {
			c.values[value] = true
		}
	}()
	if err := policy.Sleep(ctx, took); err != nil {
		returned = true
		return "", err
	}
	value, err = end(ctx)
	returned = true
	return value, err
}

// begin counts a run of the operation, and draws how long it takes and how it ends.
func (c *fate) begin() (time.Duration, func(context.Context) (string, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	if c.once && c.sent {
		c.Errorf("run %d of a Once call that may have taken effect before", c.runs)
	}
	took := time.Duration(c.random.IntN(3)) * (time.Millisecond << c.random.IntN(10))
	value := fmt.Sprint("value ", c.runs)
	failing := func(err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return "", err }
	}
	switch n := c.random.IntN(20); {
	case n <= int(policy.Rejected):
		return took, failing(policy.WithClass(errTest, policy.Class(n)))
	case n < 13:
		return took, failing(&pipeline.StatusError{StatusCode: []int{401, 408, 429, 500, 501, 503}[n-7]})
	case n == 13 && !c.races:
		return took, func(context.Context) (string, error) { panic(errTest) }
	case n == 14 && !c.races:
		return took, func(context.Context) (string, error) { runtime.Goexit(); return "", nil }
	case n == 15:
		return took, func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}
	default:
		return took, func(context.Context) (string, error) { return value, nil }
	}
}

// checkError checks that an error has a cause.
func (c *fate) checkError(err error) {
	if err == nil {
		return
	}
	if _, ok := errors.AsType[*pipeline.StatusError](err); ok {
		return
	}
	for _, cause := range []error{errTest, policy.ErrRejected, context.Canceled, context.DeadlineExceeded, auth.ErrTokenUnavailable} {
		if errors.Is(err, cause) {
			return
		}
	}
	c.Errorf("error %v has no cause that is known", err)
}

// check checks that nothing is left, and that all works again after a while.
func (w *world) check() {
	time.Sleep(time.Hour)
	w.bodies.allClosed(w.T)
	if started, ended := len(w.spans.Started()), len(w.spans.Ended()); started != ended {
		w.Errorf("%d spans were started, and %d ended", started, ended)
	}
	w.calm.Store(true)
	var err error
	for range 5 { // more than probes have to succeed
		err = w.pipeline.Do(w.Context(), policy.Call{}, succeed)
		time.Sleep(time.Hour)
	}
	if err != nil {
		w.Errorf("call after a while = %v, want nil", err)
	}
	for _, p := range w.gauged {
		for g := range p.Gauges() {
			if g.Value < 0 {
				w.Errorf("gauge %s is %v, want no less than 0", g.Name, g.Value)
			}
		}
	}
	for _, p := range w.closers {
		_ = p.Close(w.Context())
	}
}
