package timeout_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
	"github.com/evenkeel-go/evenkeel/timeout"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return timeout.New(timeout.Config{}) })
}

// takes returns an operation that takes d, unless its context ends, and then
// ends with err. It reports a context's end in its own words, as some do.
func takes(d time.Duration, err error) policy.Handler {
	return func(ctx context.Context, call policy.Call) error {
		if call.Wait(ctx, d, "work") != nil {
			return errors.New("interrupted")
		}
		return err
	}
}

func TestDo(t *testing.T) {
	tests := []struct {
		name     string
		limit    time.Duration
		caller   time.Duration // the caller's own deadline; 0 for none
		takes    time.Duration
		err      error
		took     time.Duration
		exceeded bool
		want     string
	}{
		{name: "in time", limit: time.Second, takes: 500 * time.Millisecond, took: 500 * time.Millisecond},
		{name: "fails in time", limit: time.Second, err: io.EOF, want: "EOF"},
		{name: "too late", limit: time.Second, takes: time.Minute, took: time.Second, exceeded: true, want: "timeout: limit exceeded: 1s: interrupted"},
		{name: "default", takes: time.Minute, took: 10 * time.Second, exceeded: true, want: "timeout: limit exceeded: 10s: interrupted"},
		{name: "caller's deadline is sooner", limit: time.Second, caller: 500 * time.Millisecond, takes: time.Minute, took: 500 * time.Millisecond, want: "interrupted"},
		{name: "caller's deadline is the same", limit: time.Second, caller: time.Second, takes: time.Minute, took: time.Second, want: "interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.caller > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.caller)
					defer cancel()
				}
				start := time.Now()
				err := timeout.New(timeout.Config{Limit: tt.limit}).Do(ctx, policy.Call{}, takes(tt.takes, tt.err))
				got := ""
				if err != nil {
					got = err.Error()
				}
				if took := time.Since(start); got != tt.want || took != tt.took {
					t.Errorf("Do() = %q after %v, want %q after %v", got, took, tt.want, tt.took)
				}
				for _, target := range []error{timeout.ErrExceeded, context.DeadlineExceeded} {
					if errors.Is(err, target) != tt.exceeded {
						t.Errorf("errors.Is(%v, %v) = %v, want %v", err, target, !tt.exceeded, tt.exceeded)
					}
				}
			})
		})
	}
}

func TestSuccessAfterTheLimitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := timeout.New(timeout.Config{Limit: time.Second}).Do(t.Context(), policy.Call{}, func(context.Context, policy.Call) error {
			time.Sleep(time.Minute) // heeds no context
			return nil
		})
		if err != nil {
			t.Errorf("Do() = %v, want nil: the operation has succeeded", err)
		}
	})
}

func TestClassOfExceededCalls(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("i/o timeout")}
	for _, tt := range []struct {
		err  error
		want policy.Class
	}{
		{errors.New("interrupted"), policy.Transient},
		{context.Canceled, policy.Transient},
		{policy.WithClass(io.EOF, policy.Permanent), policy.Transient},
		{dial, policy.NotSent},
	} {
		synctest.Test(t, func(t *testing.T) {
			err := timeout.New(timeout.Config{Limit: time.Second}).Do(t.Context(), policy.Call{}, func(ctx context.Context, _ policy.Call) error {
				<-ctx.Done()
				return tt.err
			})
			if got := policy.ClassOf(err); got != tt.want || policy.ErrorType(err) != "timeout" || !errors.Is(err, tt.err) {
				t.Errorf("Do() = %v of class %v, type %q, want class %v, type timeout, and the cause kept", err, got, policy.ErrorType(err), tt.want)
			}
		})
	}
}

// A recorder notes the events of a call.
type recorder struct{ said []string }

func (r *recorder) Emit(_ context.Context, e policy.Event) {
	r.said = append(r.said, e.Name)
	for _, attr := range e.Attrs {
		r.said = append(r.said, attr.String())
	}
}

func (r *recorder) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}

func TestErrorNamesThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := timeout.New(timeout.Config{Name: "attempt", Limit: time.Second}).Do(t.Context(), policy.Call{}, func(ctx context.Context, _ policy.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if want := `timeout: limit exceeded: "attempt" of 1s`; err == nil || err.Error() != want {
			t.Errorf("Do() = %v, want %s", err, want)
		}
	})
}

func TestExceededIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(recorder)
		p := timeout.New(timeout.Config{Limit: time.Second})
		_ = p.Do(t.Context(), policy.Call{}.WithRecorder(r), takes(0, io.EOF))
		_ = p.Do(t.Context(), policy.Call{}.WithRecorder(r), func(ctx context.Context, _ policy.Call) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if got, want := strings.Join(r.said, " "), "timeout.exceeded limit=1s"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}
	})
}

func TestValidate(t *testing.T) {
	if err := timeout.New(timeout.Config{}).Validate(); err != nil {
		t.Errorf("Validate() of the zero Config = %v, want nil", err)
	}
	for limit, want := range map[time.Duration]string{
		-time.Second:  "invalid Limit -1s: want 1ms to 720h0m0s",
		math.MaxInt64: "invalid Limit 2562047h47m16.854775807s: want 1ms to 720h0m0s",
		30:            "invalid Limit 30ns: want 1ms to 720h0m0s",
	} {
		if err := timeout.New(timeout.Config{Limit: limit}).Validate(); err == nil || err.Error() != want {
			t.Errorf("Validate() = %v, want %s", err, want)
		}
	}
	if err := new(timeout.Policy).Validate(); err == nil {
		t.Error("Validate() of a Policy made without New = nil, want an error")
	}
}

func BenchmarkDo(b *testing.B) {
	p, ctx := timeout.New(timeout.Config{}), b.Context()
	succeed := func(context.Context, policy.Call) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Do(ctx, policy.Call{}, succeed); err != nil {
			b.Fatal(err)
		}
	}
}
