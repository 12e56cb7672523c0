package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/chaos"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
)

var errTest = errors.New("test")

func succeed(context.Context, policy.Call) error { return nil }

func with(faults ...chaos.Fault) *chaos.Policy {
	return chaos.New(chaos.Config{Enabled: true, Seed: 1, Faults: faults})
}

func TestConformance(t *testing.T) {
	for name, p := range map[string]func() policy.Policy{
		"without faults": func() policy.Policy { return chaos.New(chaos.Config{}) },
		"latency":        func() policy.Policy { return with(chaos.Fault{Rate: 1, Latency: 5 * time.Millisecond}) },
	} {
		t.Run(name, func(t *testing.T) { policytest.Run(t, p) })
	}
}

func TestShareOfCallsIsTheRate(t *testing.T) {
	errOther := errors.New("other")
	for seed := range uint64(5) {
		p := chaos.New(chaos.Config{Enabled: true, Seed: seed, Faults: []chaos.Fault{
			{Rate: 0.1, Err: errTest},
			{Rate: 0, Err: io.EOF},
			{Rate: 0.3, Err: errOther},
		}})
		const calls = 20_000
		var first, never, second int
		for range calls {
			switch err := p.Do(t.Context(), policy.Call{}, succeed); {
			case errors.Is(err, errTest):
				first++
			case errors.Is(err, io.EOF):
				never++
			case errors.Is(err, errOther):
				second++
			}
		}
		// The bounds are five standard deviations.
		if math.Abs(float64(first)/calls-0.1) > 0.011 || math.Abs(float64(second)/calls-0.3) > 0.017 || never != 0 {
			t.Errorf("seed %d: of %d calls, %d, %d and %d met the faults, want about a tenth, three tenths and none", seed, calls, first, second, never)
		}
	}
}

func TestAllCallsMeetAFaultOfRateOne(t *testing.T) {
	p := with(chaos.Fault{Rate: 0.5, Err: errTest}, chaos.Fault{Rate: 0.5, Err: io.EOF})
	for range 1000 {
		if err := p.Do(t.Context(), policy.Call{}, succeed); err == nil {
			t.Fatal("Do() = nil, want an error each time")
		}
	}
}

// fates tells which of the first calls of a policy fail.
func fates(t *testing.T, seed uint64) string {
	p := chaos.New(chaos.Config{Enabled: true, Seed: seed, Faults: []chaos.Fault{{Rate: 0.5, Err: errTest}}})
	var fates strings.Builder
	for range 64 {
		if p.Do(t.Context(), policy.Call{}, succeed) != nil {
			fates.WriteByte('x')
		} else {
			fates.WriteByte('.')
		}
	}
	return fates.String()
}

func TestSeedDecidesWhichCallsFail(t *testing.T) {
	if one, again := fates(t, 7), fates(t, 7); one != again {
		t.Errorf("calls of one seed fail differently:\n%s\n%s", one, again)
	}
	if one, other := fates(t, 7), fates(t, 8); one == other {
		t.Errorf("calls of two seeds fail alike: %s", one)
	}
	if one, other := fates(t, 0), fates(t, 0); one == other {
		t.Errorf("calls without a seed fail alike: %s", one)
	}
}

func TestConcurrentCallsMeetTheSameFaultsInAll(t *testing.T) {
	config := chaos.Config{Enabled: true, Seed: 3, Faults: []chaos.Fault{{Rate: 0.25, Err: errTest}}}
	count := func(workers int) int64 {
		p, failed := chaos.New(config), atomic.Int64{}
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range 1200 / workers {
					if p.Do(t.Context(), policy.Call{}, succeed) != nil {
						failed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		return failed.Load()
	}
	if one, many := count(1), count(12); one != many {
		t.Errorf("%d calls of one goroutine failed and %d of twelve, want as many", one, many)
	}
}

func TestErrorIsTheOneGiven(t *testing.T) {
	p := with(chaos.Fault{Rate: 1, Err: policy.WithClass(context.DeadlineExceeded, policy.Throttled)})
	err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
		t.Error("operation was carried out")
		return nil
	})
	if !errors.Is(err, chaos.ErrInjected) || !errors.Is(err, context.DeadlineExceeded) ||
		policy.ClassOf(err) != policy.Throttled || policy.ErrorType(err) != "timeout" || !policy.Timeout(err) {
		t.Errorf("Do() = %v of class %v, type %q, want %v with what is known of the error given", err, policy.ClassOf(err), policy.ErrorType(err), chaos.ErrInjected)
	}
}

func TestLatencyComesBeforeTheCall(t *testing.T) {
	for name, tt := range map[string]struct {
		fault chaos.Fault
		calls int
		want  error
	}{
		"alone":        {chaos.Fault{Rate: 1, Latency: time.Second}, 1, nil},
		"and an error": {chaos.Fault{Rate: 1, Latency: time.Second, Err: errTest}, 0, errTest},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, calls := time.Now(), 0
			err := with(tt.fault).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
				calls++
				return nil
			})
			if took := time.Since(start); took != time.Second || !errors.Is(err, tt.want) || calls != tt.calls {
				t.Errorf("%s: Do() = %v after %v and %d calls, want %v after 1s and %d", name, err, took, calls, tt.want, tt.calls)
			}
		})
	}
}

func TestLatencyEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := with(chaos.Fault{Rate: 1, Latency: time.Hour}).Do(ctx, policy.Call{}, succeed)
		if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do() = %v after %v, want %v after 1s", err, took, context.DeadlineExceeded)
		}
	})
}

func TestNothingIsInjectedWithoutEnabled(t *testing.T) {
	p := chaos.New(chaos.Config{Faults: []chaos.Fault{{Rate: 1, Err: errTest}}})
	if err := p.Do(t.Context(), policy.Call{}, succeed); err != nil {
		t.Errorf("Do() = %v, want nil", err)
	}
}

func TestFaultsCannotBeChanged(t *testing.T) {
	faults := []chaos.Fault{{Rate: 1, Err: errTest}}
	p := with(faults...)
	faults[0] = chaos.Fault{}
	if err := p.Do(t.Context(), policy.Call{}, succeed); !errors.Is(err, errTest) {
		t.Errorf("Do() = %v, want %v", err, errTest)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestStatusIsLikeOneOfAServer(t *testing.T) {
	for status, want := range map[int]struct {
		attempts int
		state    breaker.State
	}{
		200: {1, breaker.Closed},
		404: {1, breaker.Closed},
		429: {2, breaker.Closed},
		503: {2, breaker.Open},
	} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			circuit := breaker.New(breaker.Config{ConsecutiveFailures: 2})
			count := policy.New("count", func(ctx context.Context, call policy.Call, next policy.Handler) error {
				attempts++
				return next(ctx, call)
			})
			p := pipeline.Must(pipeline.New("test", pipeline.Must(pipeline.New("inner",
				retry.New(retry.Config{MaxAttempts: 2}), circuit, count, with(chaos.Fault{Rate: 1, Status: status}))))).
				WithTracerProvider(sdktrace.NewTracerProvider()) // which records
			client := &http.Client{Transport: p.Transport(roundTripper(func(*http.Request) (*http.Response, error) {
				t.Errorf("%d: request was sent", status)
				return nil, errTest
			}))}
			response, err := client.Get("http://test.example")
			if err != nil {
				t.Fatalf("%d: error is %v, want a response", status, err)
			}
			response.Body.Close()
			if state := circuit.State("http://test.example"); response.StatusCode != status || attempts != want.attempts || state != want.state {
				t.Errorf("%d: got %d after %d attempts, circuit %v, want %d and %v", status, response.StatusCode, attempts, state, want.attempts, want.state)
			}
		})
	}
}

// closer is a body that counts how often it was closed.
type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error {
	*c.closed++
	return nil
}

func TestStatusTakesThePlaceOfAnEarlierResponse(t *testing.T) {
	closed := 0
	second := policy.New("second", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_ = next(ctx, call)
		err := with(chaos.Fault{Rate: 1, Status: 502}).Do(ctx, call, next)
		if closed != 1 {
			t.Errorf("first response was closed %d times when the second came, want once", closed)
		}
		return err
	})
	client := &http.Client{Transport: pipeline.Must(pipeline.New("test", second)).Transport(
		roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Body: closer{strings.NewReader("busy"), &closed}}, nil
		}))}
	response, err := client.Get("http://test.example")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 502 || closed != 1 {
		t.Errorf("client got %d, and the first response was closed %d times, want 502, once", response.StatusCode, closed)
	}
}

func TestStatusOfACallThatIsNoRequest(t *testing.T) {
	p := pipeline.Must(pipeline.New("test", with(chaos.Fault{Rate: 1, Status: 503})))
	_, err := pipeline.Run(t.Context(), p, "test", func(context.Context) (int, error) { return 1, nil })
	if err == nil || policy.ClassOf(err) != policy.Permanent {
		t.Errorf("error is %v, want one of class permanent", err)
	}
}

// A recorder notes what a policy says of a call.
type recorder struct{ said []string }

func (r *recorder) Emit(_ context.Context, e policy.Event) {
	r.said = append(r.said, e.Name)
	for _, attr := range e.Attrs {
		r.said = append(r.said, attr.String())
	}
}

func (r *recorder) Outcome(_ context.Context, outcome string) { r.said = append(r.said, outcome) }

func (r *recorder) Step(ctx context.Context, _ policy.Call, name string, _ []slog.Attr) (context.Context, func(error)) {
	r.said = append(r.said, "step "+name)
	return ctx, func(error) {}
}

func TestWhatThePolicySays(t *testing.T) {
	for want, fault := range map[string]chaos.Fault{
		"passed": {Rate: 0, Err: errTest},
		"injected chaos.injected fault=latency latency=1s step chaos latency":           {Rate: 1, Latency: time.Second},
		"injected chaos.injected fault=error":                                           {Rate: 1, Err: errTest},
		"injected chaos.injected fault=outcome":                                         {Rate: 1, Outcome: succeed},
		"injected chaos.injected fault=status status=503 latency=1s step chaos latency": {Rate: 1, Latency: time.Second, Status: 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := new(recorder)
			_ = with(fault).Do(t.Context(), policy.Call{}.WithRecorder(r), succeed)
			if got := strings.Join(r.said, " "); got != want {
				t.Errorf("policy said %q, want %q", got, want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	nan := math.NaN()
	on := func(faults ...chaos.Fault) chaos.Config { return chaos.Config{Enabled: true, Faults: faults} }
	tests := []struct {
		config chaos.Config
		want   string
	}{
		{chaos.Config{}, ""},
		{chaos.Config{Enabled: true}, ""},
		{on(chaos.Fault{Rate: 0.1, Status: 503}, chaos.Fault{Rate: 0.9, Latency: time.Second}), ""},
		{on(chaos.Fault{Rate: 0.7, Status: 503}, chaos.Fault{Rate: 0.2, Status: 502}, chaos.Fault{Rate: 0.1, Status: 500}), ""},
		{
			chaos.Config{Faults: []chaos.Fault{{Rate: 0.1, Status: 503}}},
			"invalid Enabled false: want true where calls may be made to fail, or else no Faults",
		},
		{on(chaos.Fault{Rate: -1, Status: 503}), "invalid Faults[0]: invalid Rate -1: want 0 to 1"},
		{on(chaos.Fault{Rate: nan, Status: 503}), "invalid Faults[0]: invalid Rate NaN: want 0 to 1"},
		{on(chaos.Fault{Latency: -1}), "invalid Faults[0]: invalid Latency -1ns: want 0 to 24h0m0s"},
		{on(chaos.Fault{Latency: math.MaxInt64}), "invalid Faults[0]: invalid Latency 2562047h47m16.854775807s: want 0 to 24h0m0s"},
		{on(chaos.Fault{Status: 100}), "invalid Faults[0]: invalid Status 100: want 200 to 599"},
		{on(chaos.Fault{}), "invalid Faults[0]: nothing to inject: want Latency, Status, Err or Outcome"},
		{on(chaos.Fault{Status: 503, Err: errTest}), "invalid Faults[0]: several of Status, Err and Outcome: want one"},
		{on(chaos.Fault{Rate: 0.75, Err: errTest}, chaos.Fault{Rate: 0.75, Err: io.EOF}), "invalid Faults: their rates add up to 1.5: want at most 1"},
	}
	for _, tt := range tests {
		got := ""
		if err := chaos.New(tt.config).Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("Validate() of %+v = %q, want %q", tt.config, got, tt.want)
		}
	}
	if err := new(chaos.Policy).Validate(); err == nil {
		t.Error("Validate() of a Policy made without New = nil, want an error")
	}
}

func TestConfigCanBeRead(t *testing.T) {
	var config chaos.Config
	text := `{"enabled": true, "seed": 1, "faults": [{"rate": 1, "latency": 1000000, "status": 503}]}`
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	if want := (chaos.Fault{Rate: 1, Latency: time.Millisecond, Status: 503}); !config.Enabled || config.Seed != 1 || len(config.Faults) != 1 ||
		config.Faults[0].Rate != want.Rate || config.Faults[0].Latency != want.Latency || config.Faults[0].Status != want.Status {
		t.Errorf("configuration is %+v, want the fault %+v, enabled", config, want)
	}
}
