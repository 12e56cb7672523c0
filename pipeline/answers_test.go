package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A tracked base answers with bodies that know what becomes of them.
type tracked struct {
	opened, closed, read atomic.Int64
	answer               func(*http.Request) (code int, body io.Reader)
	last                 atomic.Pointer[http.Request]
}

func (b *tracked) RoundTrip(req *http.Request) (*http.Response, error) {
	b.last.Store(req)
	code, body := 200, io.Reader(strings.NewReader("body"))
	if b.answer != nil {
		code, body = b.answer(req)
	}
	if body == nil {
		return nil, errTest
	}
	b.opened.Add(1)
	return &http.Response{StatusCode: code, Body: &trackedBody{body, b}}, nil
}

type trackedBody struct {
	io.Reader
	base *tracked
}

func (b *trackedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.base.read.Add(int64(n))
	return n, err
}

func (b *trackedBody) Close() error {
	b.base.closed.Add(1)
	return nil
}

// allClosed reports bodies that were not closed exactly once.
func (b *tracked) allClosed(t *testing.T) {
	t.Helper()
	if opened, closed := b.opened.Load(), b.closed.Load(); opened != closed {
		t.Errorf("%d bodies opened, closed %d times: want each once", opened, closed)
	}
}

func TestGoodAnswerOutlivesALaterSend(t *testing.T) {
	base := new(tracked)
	base.answer = func(*http.Request) (int, io.Reader) {
		if base.opened.Load() > 0 {
			return 0, nil // the second send fails
		}
		return 200, strings.NewReader("first")
	}
	late := policy.New("late", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		first := next(ctx, call) // answered, but not heard of yet
		_ = next(ctx, call)
		return first
	})
	response, err := pipeline.Must(pipeline.New("test", late)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
	if err != nil {
		t.Fatalf("error is %v, want the first answer", err)
	}
	if got, _ := io.ReadAll(response.Body); string(got) != "first" {
		t.Errorf("body is %q, want %q", got, "first")
	}
	_ = response.Body.Close()
	base.allClosed(t)
}

func TestLaterAnswerTakesThePlaceOfAnEarlierOne(t *testing.T) {
	base := new(tracked)
	base.answer = func(*http.Request) (int, io.Reader) {
		return 200, strings.NewReader([]string{"first", "second", "third"}[base.opened.Load()])
	}
	polling := policy.New("poll", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_ = next(ctx, call)
		_ = next(ctx, call)
		return next(ctx, call)
	})
	response, err := pipeline.Must(pipeline.New("test", polling)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(response.Body); string(got) != "third" {
		t.Errorf("body is %q, want %q", got, "third")
	}
	_ = response.Body.Close()
	base.allClosed(t)
}

func TestConcurrentAnswersAreClosedButOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := &tracked{answer: func(*http.Request) (int, io.Reader) {
			time.Sleep(time.Second)
			return 200, strings.NewReader("body")
		}}
		hedge := policy.New("hedge", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			second := make(chan error, 1)
			go func() { second <- next(ctx, call) }()
			return errors.Join(next(ctx, call), <-second)
		})
		response, err := pipeline.Must(pipeline.New("test", hedge)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if base.opened.Load() != 2 {
			t.Errorf("%d answers, want 2", base.opened.Load())
		}
		base.allClosed(t)
	})
}

// A stalled body blocks its reader until it is closed.
type stalled struct{ closed chan struct{} }

func (s stalled) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s stalled) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func TestStalledBodyOfALateAnswerHoldsUpNoOtherSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := []io.ReadCloser{http.NoBody, stalled{make(chan struct{})}, http.NoBody}
		var sends atomic.Int32
		base := roundTripper(func(req *http.Request) (*http.Response, error) {
			body := bodies[sends.Add(1)-1]
			time.Sleep(time.Second)
			return &http.Response{StatusCode: 200, Body: body}, nil
		})
		staggered := policy.New("staggered", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			var second sync.WaitGroup
			defer second.Wait()
			second.Go(func() {
				time.Sleep(time.Millisecond)
				_ = next(ctx, call)
			})
			_ = next(ctx, call)
			time.Sleep(2 * time.Millisecond) // the second answer has come, and is being discarded
			start := time.Now()
			err := next(ctx, call)
			if took := time.Since(start); took != time.Second {
				t.Errorf("the third send took %v, want %v", took, time.Second)
			}
			return err
		})
		response, err := pipeline.Must(pipeline.New("test", staggered)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	})
}

func TestAnswersThatNobodyWaitsForAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := &tracked{answer: func(req *http.Request) (int, io.Reader) {
			time.Sleep(time.Second)
			return 503, strings.NewReader("body")
		}}
		late := make(chan error, 1)
		careless := policy.New("careless", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			go func() {
				_ = next(ctx, call)
				late <- next(ctx, call)
			}()
			time.Sleep(time.Millisecond)
			return errTest
		})
		_, err := pipeline.Must(pipeline.New("test", careless)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil)) //nolint:bodyclose // There is none.
		if !errors.Is(err, errTest) {
			t.Errorf("error is %v, want %v", err, errTest)
		}
		if err := <-late; base.opened.Load() != 1 || err == nil {
			t.Errorf("%d answers, then error %v: want 1, and nothing sent after the end", base.opened.Load(), err)
		}
		base.allClosed(t)
	})
}

func TestAnswerThatComesWithTheDeadlineIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := &tracked{answer: func(req *http.Request) (int, io.Reader) {
			<-req.Context().Done()
			return 200, strings.NewReader("too late")
		}}
		_, err := pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{}))).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil)) //nolint:bodyclose // There is none.
		if !errors.Is(err, timeout.ErrExceeded) {
			t.Errorf("error is %v, want %v", err, timeout.ErrExceeded)
		}
		base.allClosed(t)
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestLittleIsReadOfADiscardedBody(t *testing.T) {
	base := new(tracked)
	base.answer = func(*http.Request) (int, io.Reader) {
		if base.opened.Load() == 0 {
			return 503, endless{}
		}
		return 200, strings.NewReader("")
	}
	response, err := pipeline.Must(pipeline.New("test", tries(2))).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if got := base.read.Load(); got > 64<<10 {
		t.Errorf("%d bytes read of a discarded body, want at most %d", got, 64<<10)
	}
	base.allClosed(t)
}

// The context of a send holds on to those of the caller, so it has to end.
func TestContextOfASendEnds(t *testing.T) {
	p := pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{})))
	for name, tt := range map[string]struct {
		base *tracked
		use  func(*http.Response)
	}{
		"body read":   {&tracked{}, func(r *http.Response) { _, _ = io.ReadAll(r.Body) }},
		"body closed": {&tracked{}, func(r *http.Response) { _ = r.Body.Close() }},
		"panics":      {&tracked{answer: func(*http.Request) (int, io.Reader) { panic("test") }}, func(*http.Response) {}},
		"failed":      {&tracked{answer: func(*http.Request) (int, io.Reader) { return 0, nil }}, func(*http.Response) {}},
	} {
		t.Run(name, func(t *testing.T) {
			var response *http.Response
			func() {
				defer func() { _ = recover() }()
				response, _ = p.Transport(tt.base).RoundTrip(request(t, "GET", "http://localhost", nil)) //nolint:bodyclose // Or not, that is the test.
			}()
			sent := tt.base.last.Load().Context()
			if response != nil && sent.Err() != nil {
				t.Errorf("context ended with %v before the body", sent.Err())
			}
			tt.use(response)
			if sent.Err() == nil {
				t.Error("context goes on")
			}
		})
	}
}

func TestCallersDeadlineIsTheErrorOfItsBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for name, policies := range map[string][]policy.Policy{
		"without a deadline of a policy": {tries(1)},
		"with a deadline of a policy":    {timeout.New(timeout.Config{})},
	} {
		t.Run(name, func(t *testing.T) {
			errMine := errors.New("mine")
			cancelled, cancel := context.WithCancelCause(t.Context())
			limited, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer stop()
			for _, tt := range []struct {
				ctx   context.Context
				leave func()
				want  error
			}{
				{limited, func() {}, context.DeadlineExceeded},
				{cancelled, func() { cancel(errMine) }, errMine},
			} {
				response, err := s.through(policies...).Do(request(t, "GET", s.URL, nil).WithContext(tt.ctx))
				if err != nil {
					t.Fatal(err)
				}
				tt.leave()
				if _, err := io.ReadAll(response.Body); !errors.Is(err, tt.want) {
					t.Errorf("body ended with %v, want %v", err, tt.want)
				}
				_ = response.Body.Close()
			}
		})
	}
}

func TestClientsTimeoutIsTheErrorOfItsBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	client := s.through(timeout.New(timeout.Config{Limit: 20 * time.Millisecond}))
	client.Timeout = 60 * time.Millisecond
	for range 5 {
		response, err := client.Do(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(response.Body)
		timedOut, ok := errors.AsType[interface {
			error
			Timeout() bool
		}](err)
		if !ok || !timedOut.Timeout() {
			t.Errorf("body ended with %v, want a timeout", err)
		}
		_ = response.Body.Close()
	}
}

func TestFailureThatComesAsTheCallerLeaves(t *testing.T) {
	for name, tt := range map[string]struct {
		policy policy.Policy
		want   error // nil for the response
	}{
		"passed on": {policy.New("pass", passOn), nil},
		"retried":   {tries(2), context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			base := &tracked{answer: func(*http.Request) (int, io.Reader) {
				cancel()
				return 500, strings.NewReader("body")
			}}
			response, err := pipeline.Must(pipeline.New("test", tt.policy)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil).WithContext(ctx))
			if !errors.Is(err, tt.want) || (response != nil) != (tt.want == nil) {
				t.Errorf("RoundTrip() = %v, %v, want %v", response, err, tt.want)
			}
			if response != nil {
				_ = response.Body.Close()
			}
			base.allClosed(t)
		})
	}
}

func TestBaseMayChangeWhatItGets(t *testing.T) {
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		req.URL.Host = "changed.example.com"
		req.Header.Set("X-Test", "changed")
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	req := request(t, "GET", "http://localhost/path", nil)
	response, err := pipeline.Must(pipeline.New("test", tries(1))).Transport(base).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if want, _ := url.Parse("http://localhost/path"); *req.URL != *want || len(req.Header) != 0 {
		t.Errorf("caller's request became one of %v with %v", req.URL, req.Header)
	}
}
