package pipeline_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// sent makes a request through a timeout of 1 s, and returns the context that the base
// was given, and the response. The base is send.
func sent(ctx context.Context, t *testing.T, send func(ctx context.Context) error) (context.Context, *http.Response, error) {
	t.Helper()
	var given context.Context
	p := pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{Limit: time.Second})))
	response, err := p.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		given = req.Context()
		if err := send(given); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("body"))}, nil
	})).RoundTrip(request(t, "GET", "http://localhost", nil).WithContext(ctx))
	return given, response, err
}

// asks are what bases may ask of the context of a request before they answer.
var asks = map[string]func(context.Context){
	"nothing": func(context.Context) {},
	"Done":    func(ctx context.Context) { ctx.Done() },
	"Err":     func(ctx context.Context) { _ = ctx.Err() },
	"Value":   func(ctx context.Context) { ctx.Value("key") },
}

func TestSendEndsWithThePolicysDeadline(t *testing.T) {
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, err := sent(t.Context(), t, func(ctx context.Context) error { //nolint:bodyclose // There is none.
					ask(ctx)
					time.Sleep(999 * time.Millisecond)
					if ctx.Err() != nil {
						t.Errorf("Err() before the deadline = %v, want nil", ctx.Err())
					}
					time.Sleep(time.Millisecond)
					synctest.Wait()
					if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) || ctx.Err() == nil {
						t.Errorf("Err(), Cause() = %v, %v, want the deadline's", ctx.Err(), context.Cause(ctx))
					}
					<-ctx.Done()
					return ctx.Err()
				})
				if !errors.Is(err, timeout.ErrExceeded) {
					t.Errorf("RoundTrip() = %v, want ErrExceeded", err)
				}
			})
		})
	}
}

func TestReadingIsGovernedByTheCallerAlone(t *testing.T) {
	reason := errors.New("reason")
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller, cancel := context.WithCancelCause(t.Context())
				ctx, response, err := sent(caller, t, func(ctx context.Context) error { ask(ctx); return nil })
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				time.Sleep(time.Minute)
				synctest.Wait()
				if ctx.Err() != nil {
					t.Errorf("Err() after the policy's deadline = %v, want nil", ctx.Err())
				}
				if _, ok := ctx.Deadline(); ok {
					t.Error("there is a deadline, want that of the caller, who has none")
				}
				cancel(reason)
				synctest.Wait()
				if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), reason) {
					t.Errorf("Err(), Cause() = %v, %v, want the caller's", ctx.Err(), context.Cause(ctx))
				}
				<-ctx.Done()
			})
		})
	}
}

// A reader of HTTP/2 is told what the context of its request ended with, not why.
func TestReadingEndsAsTheCallersContextDoes(t *testing.T) {
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				ctx, response, err := sent(caller, t, func(ctx context.Context) error { ask(ctx); return nil })
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if ctx.Err() != context.DeadlineExceeded || context.Cause(ctx) != context.DeadlineExceeded {
					t.Errorf("Err(), Cause() = %v, %v, want those of the caller's deadline", ctx.Err(), context.Cause(ctx))
				}
			})
		})
	}
}

func TestContextOfARequestEndsWithItsBody(t *testing.T) {
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ctx, response, err := sent(t.Context(), t, func(ctx context.Context) error { ask(ctx); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if ctx.Err() != nil {
				t.Errorf("Err() = %v, want nil", ctx.Err())
			}
			if err := response.Body.Close(); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) {
				t.Errorf("Err() = %v, want Canceled", ctx.Err())
			}
			if more := runtime.NumGoroutine() - before; more > 0 {
				t.Errorf("%d goroutines watch the context, want none", more)
			}
		})
	}
}

func TestContextsDerivedFromThatOfARequestEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		caller := context.WithValue(t.Context(), key{}, "value")
		_, _, err := sent(caller, t, func(ctx context.Context) error { //nolint:bodyclose // There is none.
			before := runtime.NumGoroutine()
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			if more := runtime.NumGoroutine() - before; more > 0 {
				t.Errorf("%d goroutines watch the context, want none", more)
			}
			if got := child.Value(key{}); got != "value" {
				t.Errorf("Value() = %v, want that of the caller", got)
			}
			<-child.Done()
			return child.Err()
		})
		if !errors.Is(err, timeout.ErrExceeded) {
			t.Errorf("RoundTrip() = %v, want ErrExceeded", err)
		}
	})
}

// A policy may end the context of a request that has been answered meanwhile.
func TestAnswerAfterTheEndIsNone(t *testing.T) {
	leave := policy.New("leave", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(io.ErrNoProgress)
		return next(ctx, call)
	})
	closed := false
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: closingBody{strings.NewReader("body"), func() { closed = true }}}, nil
	})
	_, err := pipeline.Must(pipeline.New("test", leave)).Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil)) //nolint:bodyclose // There is none.
	if !errors.Is(err, io.ErrNoProgress) || !closed {
		t.Errorf("RoundTrip() = %v, body closed: %v, want the cause, and true", err, closed)
	}
}

type closingBody struct {
	io.Reader
	close func()
}

func (c closingBody) Close() error { c.close(); return nil }
