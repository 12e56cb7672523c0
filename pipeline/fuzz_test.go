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
	"slices"
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
	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
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
		shape := make([]byte, 4+random.IntN(32))
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
	shares  bool // whether calls may have the result of others
	gauged  []gauged
	closers []*auth.Policy
	budget  *retry.Budget
	calm    atomic.Bool // when all calls have been made

	mu     sync.Mutex
	values map[string]bool // the results of all runs, which calls may share
}

type gauged interface{ Gauges() iter.Seq[policy.Gauge] }

func newWorld(t *testing.T, shape []byte, seed uint64) *world {
	w := &world{
		T: t, shape: shape, seed: seed, most: 1, spans: tracetest.NewSpanRecorder(), budget: retry.NewBudget(retry.BudgetConfig{}),
		values: map[string]bool{fallbackValue: true},
	}
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
	switch w.draw(14) {
	case 1:
		config := retry.Config{MaxAttempts: 1 + w.draw(4), Jitter: retry.Jitter(w.draw(4)), InitialInterval: w.duration()}
		config.Budget = []*retry.Budget{nil, w.budget, retry.Unlimited}[w.draw(3)]
		w.most *= config.MaxAttempts
		return retry.New(config)
	case 2:
		return w.refusing(breaker.New(breaker.Config{
			ConsecutiveFailures: 1 + w.draw(4), MinCalls: 1 + w.draw(8), Probes: 1 + w.draw(3),
			OpenFor: w.duration(), ProbeTimeout: w.duration(), Window: w.duration() * 10,
		}))
	case 3:
		return timeout.New(timeout.Config{Limit: w.duration()})
	case 4:
		return w.hedge()
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
		return w.refusing(bulkhead.New(w.bulkhead()))
	case 8:
		config := ratelimit.Config{Rate: float64(1 + w.draw(20)), Burst: 1 + w.draw(4)}
		if w.draw(2) == 0 {
			config.MaxWait = w.duration()
		}
		return w.refusing(ratelimit.New(config))
	case 9:
		return fallback.New(fallback.Config{To: w.fallBack})
	case 10:
		return w.coalesce()
	case 11:
		return w.refusing(throttle.New(throttle.Config{K: 1.1 + float64(w.draw(4)), Window: w.duration() * 10, MinCalls: 1 + w.draw(8)}))
	case 12:
		return w.refusing(limit.New(limit.Config{Initial: 1 + w.draw(4), Window: max(100*time.Millisecond, w.duration())}))
	default:
		if depth > 2 {
			return policy.New("pass", passOn)
		}
		return pipeline.Must(pipeline.New("nested", w.policies(depth+1)...))
	}
}

// refusing returns a policy that refuses calls, at times in a shadow.
func (w *world) refusing(p interface {
	policy.Policy
	gauged
},
) policy.Policy {
	w.gauged = append(w.gauged, p)
	if w.draw(3) == 0 {
		return policy.Shadow(p)
	}
	return p
}

func (w *world) hedge() policy.Policy {
	config := hedge.Config{MaxHedges: 1 + w.draw(3), Budget: []*retry.Budget{nil, w.budget, retry.Unlimited}[w.draw(3)]}
	if w.draw(4) > 0 {
		config.Delay = w.duration()
	}
	w.most *= 1 + config.MaxHedges
	return hedge.New(config)
}

func (w *world) bulkhead() bulkhead.Config {
	config := bulkhead.Config{Slots: 1 + w.draw(3), Global: w.draw(2) == 0}
	if w.draw(2) == 0 {
		config.MaxWait, config.MaxQueue = w.duration(), w.draw(3)
	}
	return config
}

// coalesce returns a policy that has all functions of a kind share an execution.
func (w *world) coalesce() policy.Policy {
	w.most *= 2 // if there is nothing to share in the end
	w.shares = true
	p := coalesce.New(coalesce.Config{
		Key:  func(_ context.Context, call policy.Call) string { return fmt.Sprint(call.Once) },
		Once: w.draw(2) == 0, MaxBytes: int64(1 + w.draw(8)),
	})
	w.gauged = append(w.gauged, p)
	return p
}

const fallbackValue = "fallback"

// fallBack answers functions and HTTP requests, unless it fails, too.
func (w *world) fallBack(ctx context.Context, call policy.Call, err error) error {
	if policy.ClassOf(err) == policy.NotSent {
		return errTest
	}
	if call.Resolve(fallbackValue) == nil {
		return nil
	}
	return fallback.Response(203, "text/plain", fallbackValue)(ctx, call, err)
}

func (w *world) duration() time.Duration { return time.Millisecond << w.draw(12) }

// randomTokens is a source of tokens that is slow and fails at times, until all calls have been made.
type randomTokens struct{ *world }

func (s randomTokens) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	n := rand.IntN(8)
	if s.calm.Load() {
		return &oauth2.Token{AccessToken: "token", Expiry: time.Now().Add(time.Minute)}, nil
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
	name       string
	limit      time.Duration

	mu     sync.Mutex
	random *rand.Rand
	runs   int
	sent   bool // it may have taken effect
}

func newFate(w *world, i uint64) *fate {
	random := rand.New(rand.NewPCG(w.seed, i))
	return &fate{
		world: w, http: random.IntN(2) == 0, once: random.IntN(2) == 0,
		name: fmt.Sprint("call ", i), limit: time.Millisecond << random.IntN(18), random: random,
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
		c.mu.Lock()
		defer c.mu.Unlock()
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
		c.world.mu.Lock()
		defer c.world.mu.Unlock()
		foreign := !strings.HasPrefix(value, c.name+",") && value != fallbackValue && !c.shares
		if err == nil && (foreign || !c.values[value]) {
			c.Errorf("result %q of %s is not one of its own of %v", value, c.name, c.values)
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
			c.world.mu.Lock()
			defer c.world.mu.Unlock()
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
	value := fmt.Sprintf("%s, run %d", c.name, c.runs)
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
	w.calm.Store(true)
	time.Sleep(time.Hour)
	w.bodies.allClosed(w.T)
	if started, ended := len(w.spans.Started()), len(w.spans.Ended()); started != ended {
		w.Errorf("%d spans were started, and %d ended", started, ended)
	}
	var err error
	for range 20 { // as many as probes have to succeed, and tokens to be asked for
		err = w.pipeline.Do(w.Context(), policy.Call{}, succeed)
		time.Sleep(time.Minute)
	}
	if err != nil {
		w.Errorf("call after a while = %v, want nil", err)
	}
	for _, p := range w.gauged {
		for g := range p.Gauges() {
			if held := slices.Contains([]string{"in_use", "in_flight", "waiting", "executions"}, g.Name); g.Value < 0 || held && g.Value > 0 {
				w.Errorf("gauge %s is %v, want what calls hold to be 0, and no less", g.Name, g.Value)
			}
		}
	}
	for _, p := range w.closers {
		_ = p.Close(w.Context())
	}
}
