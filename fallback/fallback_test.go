package fallback_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

var errTest = errors.New("test")

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return fallback.New(fallback.Config{To: fallback.Value(1)}) })
}

// run carries out a call with a string as its result that fails with err.
func run(ctx context.Context, config fallback.Config, err error) (string, error) {
	p := pipeline.Must(pipeline.New("test", fallback.New(config)))
	return pipeline.Run(ctx, p, "test", func(context.Context) (string, error) { return "own", err })
}

func TestClassDecides(t *testing.T) {
	want := map[policy.Class]bool{policy.Transient: true, policy.Throttled: true, policy.NotSent: true, policy.Rejected: true}
	for class := policy.Transient; class <= policy.Rejected; class++ {
		cause := policy.WithClass(errTest, class)
		got, err := run(t.Context(), fallback.Config{To: fallback.Value("other")}, cause)
		if want[class] && (got != "other" || err != nil) || !want[class] && err != cause {
			t.Errorf("%v: got %q, %v, want it replaced: %v", class, got, err, want[class])
		}
	}
	if got, err := run(t.Context(), fallback.Config{To: fallback.Value("other")}, nil); got != "own" || err != nil {
		t.Errorf("success: got %q, %v, want own, nil", got, err)
	}
}

func TestIfTakesThePlaceOfTheClass(t *testing.T) {
	config := fallback.Config{To: fallback.Value("other"), If: func(err error) bool { return errors.Is(err, io.EOF) }}
	if got, err := run(t.Context(), config, policy.WithClass(io.EOF, policy.Permanent)); got != "other" || err != nil {
		t.Errorf("got %q, %v, want other, nil", got, err)
	}
	if got, err := run(t.Context(), config, errTest); err != errTest {
		t.Errorf("got %q, %v, want %v", got, err, errTest)
	}
}

func TestCallerThatHasLeftGetsNoAnswer(t *testing.T) {
	asked := false
	config := fallback.Config{
		If: func(error) bool { return true },
		To: func(context.Context, policy.Call, error) error { asked = true; return nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, cause := range []error{ctx.Err(), errTest} {
		if _, err := run(ctx, config, cause); err != cause || asked {
			t.Errorf("got %v, asked: %v, want %v and nobody asked", err, asked, cause)
		}
	}
}

func TestDeadlineIsNoReasonNotToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(time.Minute)
		if got, err := run(ctx, fallback.Config{To: fallback.Value("other")}, ctx.Err()); got != "other" || err != nil {
			t.Errorf("got %q, %v, want other, nil", got, err)
		}
	})
}

func TestBothErrorsAreKept(t *testing.T) {
	errOther := errors.New("other")
	fail := func(failure error) fallback.Config {
		return fallback.Config{To: func(context.Context, policy.Call, error) error { return failure }}
	}
	tests := []struct {
		name      string
		replaced  error
		failure   error
		class     policy.Class
		errorType string
		noEffect  bool
	}{
		{"transient", context.DeadlineExceeded, errOther, policy.Transient, "timeout", false},
		{"rejected", policy.ErrRejected, errOther, policy.Rejected, "_OTHER", false},
		{"not sent, then perhaps", policy.WithClass(errTest, policy.NotSent), errOther, policy.Transient, "_OTHER", false},
		{"not sent twice", policy.WithClass(errTest, policy.NotSent), policy.WithClass(errOther, policy.NotSent), policy.NotSent, "_OTHER", true},
	}
	for _, tt := range tests {
		_, err := run(t.Context(), fail(tt.failure), tt.replaced)
		if !errors.Is(err, tt.replaced) || !errors.Is(err, errOther) {
			t.Errorf("%s: error is %v, want both reachable", tt.name, err)
			continue
		}
		if got := policy.ClassOf(err); got != tt.class || policy.ErrorType(err) != tt.errorType || policy.NoEffect(err) != tt.noEffect {
			t.Errorf("%s: class %v, type %q, no effect %v, want %v, %q, %v", tt.name, got, policy.ErrorType(err), policy.NoEffect(err), tt.class, tt.errorType, tt.noEffect)
		}
	}
	_, err := run(t.Context(), fail(errOther), errTest)
	if got, want := fmt.Sprint(err), "test; then the fallback: other"; got != want {
		t.Errorf("error is %q, want %q", got, want)
	}
}

// sliced is an error that cannot be compared.
type sliced []string

func (s sliced) Error() string { return strings.Join(s, " ") }

func TestHandlerMayDecline(t *testing.T) {
	for _, cause := range []error{errTest, sliced{"not", "comparable"}} {
		decline := fallback.Func(func(_ context.Context, _ policy.Call, err error) (string, error) {
			return "", fmt.Errorf("no idea: %w", err)
		})
		got, err := run(t.Context(), fallback.Config{To: decline}, cause)
		if err == nil || !strings.HasPrefix(err.Error(), "no idea: ") && cause == errTest {
			t.Errorf("got %q, %v, want the handler's error", got, err)
		}
	}
}

func TestWrongTypeIsAnError(t *testing.T) {
	_, err := run(t.Context(), fallback.Config{To: fallback.Value(42)}, errTest)
	if err == nil || !errors.Is(err, errTest) || !strings.Contains(err.Error(), "invalid value of type int: want string") {
		t.Errorf("error is %v, want %v and what is wrong with the value", err, errTest)
	}
	_, err = run(t.Context(), fallback.Config{To: fallback.Value[any](nil)}, errTest)
	if !errors.Is(err, errTest) {
		t.Errorf("error is %v, want %v: nil is no string", err, errTest)
	}
	err = fallback.New(fallback.Config{To: fallback.Value(42)}).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return errTest })
	if !errors.Is(err, errTest) {
		t.Errorf("error is %v, want %v: there is no result", err, errTest)
	}
}

func TestPanicPasses(t *testing.T) {
	defer func() {
		if got := recover(); got != "test" {
			t.Errorf("recover() = %v, want the handler's panic", got)
		}
	}()
	_, _ = run(t.Context(), fallback.Config{To: func(context.Context, policy.Call, error) error { panic("test") }}, errTest)
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

func (r *recorder) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func TestWhatThePolicySays(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := func(failure error) fallback.Handler {
		return func(context.Context, policy.Call, error) error { return failure }
	}
	leave := func(context.Context, policy.Call, error) error { cancel(); return ctx.Err() }
	tests := []struct {
		name string
		to   fallback.Handler
		err  error
		want string
	}{
		{"success", to(nil), nil, "success"},
		{"used", to(nil), io.EOF, "used fallback.used reason=eof"},
		{"failed", to(context.DeadlineExceeded), io.EOF, "failed fallback.failed reason=eof failure=timeout"},
		{"declined", to(io.EOF), io.EOF, "passed"},
		{"permanent", to(nil), policy.WithClass(io.EOF, policy.Permanent), "passed"},
		{"caller leaves meanwhile", leave, io.EOF, "passed"},
	}
	for _, tt := range tests {
		r := new(recorder)
		_ = fallback.New(fallback.Config{To: tt.to}).Do(ctx, policy.Call{}.WithRecorder(r), func(context.Context, policy.Call) error { return tt.err })
		if got := strings.Join(r.said, " "); got != tt.want {
			t.Errorf("%s: policy said %q, want %q", tt.name, got, tt.want)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A body knows whether it was closed.
type body struct {
	io.Reader
	closed int
}

func (b *body) Close() error {
	b.closed++
	return nil
}

// request sends a request through policies whose answer is a 503.
func request(t *testing.T, policies ...policy.Policy) (status int, text string, sent *body) {
	t.Helper()
	sent = &body{Reader: strings.NewReader("busy")}
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 503, Body: sent}, nil
	})
	client := &http.Client{Transport: pipeline.Must(pipeline.New("test", policies...)).Transport(base)}
	response, err := client.Get("http://test.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(got), sent
}

func TestResponseTakesThePlaceOfTheServers(t *testing.T) {
	for _, status := range []int{200, 404, 503} {
		got, text, sent := request(t,
			fallback.New(fallback.Config{To: fallback.Response(status, "text/plain", "closed for lunch")}),
			retry.New(retry.Config{MaxAttempts: 1}))
		if got != status || text != "closed for lunch" || sent.closed != 1 {
			t.Errorf("client got %d %q, and the server's body was closed %d times: want %d, closed for lunch, once", got, text, sent.closed, status)
		}
	}
}

func TestResponseServesMany(t *testing.T) {
	p := fallback.New(fallback.Config{To: fallback.Response(200, "text/plain", "again")})
	for range 3 {
		if _, text, _ := request(t, p); text != "again" {
			t.Fatalf("body is %q, want again", text)
		}
	}
}

func TestFailedFallbackLeavesTheServersResponse(t *testing.T) {
	for name, to := range map[string]fallback.Handler{
		"wrong type":      fallback.Value(42),
		"shared response": fallback.Value(&http.Response{StatusCode: 200, Body: http.NoBody}),
		"declined": fallback.Func(func(_ context.Context, _ policy.Call, err error) (*http.Response, error) {
			return nil, err
		}),
	} {
		if got, text, sent := request(t, fallback.New(fallback.Config{To: to})); got != 503 || text != "busy" || sent.closed != 1 {
			t.Errorf("%s: client got %d %q, closed %d times: want the server's 503, busy, once", name, got, text, sent.closed)
		}
	}
}

func TestFallbackAfterATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipeline.Must(pipeline.New("test",
			fallback.New(fallback.Config{To: fallback.Value("other")}),
			timeout.New(timeout.Config{Limit: time.Second})))
		got, err := pipeline.Run(t.Context(), p, "test", func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		if got != "other" || err != nil {
			t.Errorf("got %q, %v, want other, nil", got, err)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := fallback.New(fallback.Config{To: fallback.Value(1)}).Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
	missing := fallback.New(fallback.Config{To: fallback.Func[int](nil)})
	if err, want := missing.Validate(), "invalid To nil: want Value, Func, Response or a function of your own"; err == nil || err.Error() != want {
		t.Errorf("Validate() = %v, want %s", err, want)
	}
	for _, p := range []*fallback.Policy{missing, new(fallback.Policy)} {
		if err := p.Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error { return nil }); p.Validate() == nil || err == nil {
			t.Errorf("Validate() = %v, Do() = %v, want errors", p.Validate(), err)
		}
	}
}
