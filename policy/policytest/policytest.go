// Package policytest tests that a policy keeps the promises of
// [policy.Policy].
//
//	func TestConformance(t *testing.T) {
//		policytest.Run(t, func() policy.Policy {
//			return bulkhead.New(bulkhead.Config{Slots: 1})
//		})
//	}
package policytest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Run tests the policies that create returns, a new one for each test. They
// should be configured so tightly that a permit or slot that is not given back
// is missed by the next call, and so that they let a call pass that comes alone.
//
// Each test runs in a bubble of [testing/synctest], where time is not real: a
// policy that needs a network cannot be tested, nor one that sleeps beyond the end
// of its context. If a bubble panics with "deadlock", a call never ended, or it
// left a goroutine behind. Use the race detector, go test -race, or a policy that
// is not safe for concurrent use may pass.
func Run(t *testing.T, create func() policy.Policy) {
	tests := []struct {
		name string
		test func(*testing.T, policy.Policy)
	}{
		{"has a name", hasName},
		{"is valid", isValid},
		{"passes calls on", passesOn},
		{"keeps values and deadline of the context", keepsContext},
		{"keeps the causes of errors", keepsCauses},
		{"is safe for concurrent use", isConcurrent},
		{"lets panics pass and gives everything back", survivesPanic},
		{"lets Goexit pass and gives everything back", survivesGoexit},
		{"ends with the operation when the caller leaves", endsWithCaller},
		{"ends its waits when the caller leaves", endsWaits},
		{"ends the wait for another call when the caller leaves", endsWaitForOthers},
		{"works after callers have left", survivesCancel},
	}
	if create == nil || create() == nil {
		t.Fatal("policytest: invalid policy nil: want a function that returns a policy")
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// A goroutine that is left over fails the bubble.
			synctest.Test(t, func(t *testing.T) { tt.test(t, create()) })
		})
	}
}

type testKey struct{}

var (
	testCall = policy.Call{Name: "policytest.call", Key: "https://policytest.example"}
	errTest  = errors.New("policytest: cause")
)

func succeed(context.Context, policy.Call) error { return nil }

// works fails t if p fails to carry out a call that comes alone.
func works(t *testing.T, p policy.Policy, after string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	calls := 0
	err := p.Do(ctx, testCall, func(context.Context, policy.Call) error {
		calls++
		return nil
	})
	switch {
	case ctx.Err() != nil:
		t.Fatalf("after %s: Do() = %v after an hour: was what a call took (a permit, a slot) not given back in a defer?", after, err)
	case err != nil || calls != 1:
		t.Fatalf("after %s: Do() = %v with %d calls of the operation, want nil with 1", after, err, calls)
	}
}

func hasName(t *testing.T, p policy.Policy) {
	name := p.Name()
	if name == "" {
		t.Error(`Name() = "", want a name`)
	}
	works(t, p, "Name")
	if got := p.Name(); got != name {
		t.Errorf("Name() = %q, and %q after a call: want the same", name, got)
	}
}

func isValid(t *testing.T, p policy.Policy) {
	if v, ok := p.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			t.Errorf("Validate() = %v, want nil", err)
		}
	}
}

func passesOn(t *testing.T, p policy.Policy) {
	want := testCall.WithHeader("X-Policytest", "1")
	want.Once = true
	calls := 0
	err := p.Do(t.Context(), want, func(_ context.Context, got policy.Call) error {
		calls++
		if got.Name != want.Name || got.Key != want.Key || got.Once != want.Once {
			t.Errorf("operation got call %q of key %q, once %v: want %q, %q, %v", got.Name, got.Key, got.Once, want.Name, want.Key, want.Once)
		}
		found := false
		for name, value := range got.Header() {
			found = found || name == "X-Policytest" && value == "1"
		}
		if !found {
			t.Error("operation did not get the header that was set before")
		}
		return nil
	})
	if err != nil || calls != 1 {
		t.Errorf("Do() = %v with %d calls of the operation, want nil with 1", err, calls)
	}
}

func keepsContext(t *testing.T, p policy.Policy) {
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), testKey{}, "value"), time.Second)
	defer cancel()
	limit, _ := ctx.Deadline()
	err := p.Do(ctx, testCall, func(ctx context.Context, _ policy.Call) error {
		if got := ctx.Value(testKey{}); got != "value" {
			t.Errorf("operation got the context value %v, want it kept", got)
		}
		if got, ok := ctx.Deadline(); !ok || got.After(limit) {
			t.Errorf("operation got the deadline %v (%v), want none after %v", got, ok, limit)
		}
		return nil
	})
	if err != nil {
		t.Errorf("Do() = %v, want nil", err)
	}
}

func keepsCauses(t *testing.T, p policy.Policy) {
	for class := policy.Transient; class <= policy.Rejected; class++ {
		cause := policy.WithClass(fmt.Errorf("%w of class %v", errTest, class), class)
		op := new(operation)
		err := p.Do(t.Context(), testCall.WithOperation(op), func(context.Context, policy.Call) error { return cause })
		switch {
		case err == nil && !op.resolved:
			t.Errorf("Do() = nil, want %v: a policy that has an answer of its own gives it by Call.Resolve", cause)
		case err != nil && !errors.Is(err, errTest) && !errors.Is(err, policy.ErrRejected):
			t.Errorf("Do() = %v, want an error that wraps %v", err, cause)
		}
	}
}

// An operation takes any value for its result.
type operation struct{ resolved bool }

func (o *operation) Do(context.Context, policy.Call) error { return nil }
func (o *operation) Accepts(string) bool                   { return true }

func (o *operation) Resolve(any) error {
	o.resolved = true
	return nil
}

func isConcurrent(t *testing.T, p policy.Policy) {
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for j := range 20 {
				err := p.Do(t.Context(), testCall, func(context.Context, policy.Call) error {
					if (i+j)%3 == 0 {
						return policy.WithClass(errTest, policy.Permanent)
					}
					return nil
				})
				if err != nil && !errors.Is(err, errTest) && !errors.Is(err, policy.ErrRejected) {
					t.Errorf("Do() = %v, want nil, the operation's error or a rejection", err)
				}
			}
		})
	}
	wg.Wait()
}

func survivesPanic(t *testing.T, p policy.Policy) {
	type value struct{ int }
	for i := range 20 {
		func() {
			defer func() {
				if got := recover(); got != (value{i}) {
					t.Fatalf("recover() = %v, want the operation's panic value %v", got, value{i})
				}
			}()
			_ = p.Do(t.Context(), testCall, func(context.Context, policy.Call) error { panic(value{i}) })
		}()
		works(t, p, "a panic")
		works(t, p, "a panic")
	}
}

func survivesGoexit(t *testing.T, p policy.Policy) {
	for range 20 {
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = p.Do(t.Context(), testCall, func(context.Context, policy.Call) error {
				runtime.Goexit()
				return nil
			})
			t.Error("Do() returned, want Goexit to pass")
		})
		wg.Wait()
		works(t, p, "Goexit")
		works(t, p, "Goexit")
	}
}

// patience is how long callers stay before they leave.
const patience = 10 * time.Millisecond

// abandon carries out a call whose caller leaves, and returns when it ended
// after that.
func abandon(t *testing.T, p policy.Policy, next policy.Handler) (late time.Duration, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	start := time.Now()
	leave := time.AfterFunc(patience, cancel)
	defer leave.Stop()
	defer cancel()
	err = p.Do(ctx, testCall, next)
	return time.Since(start) - patience, err
}

func block(ctx context.Context, _ policy.Call) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func endsWithCaller(t *testing.T, p policy.Policy) {
	late, err := abandon(t, p, block)
	if late > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Do() = %v, %v after the caller left: want %v at once", err, late, context.Canceled)
	}
}

func endsWaits(t *testing.T, p policy.Policy) {
	for class := policy.Transient; class <= policy.Rejected; class++ {
		late, err := abandon(t, p, func(context.Context, policy.Call) error { return policy.WithClass(errTest, class) })
		if late > 0 {
			t.Errorf("Do() = %v of an operation that fails with class %v ended %v after the caller left, want at once", err, class, late)
		}
	}
}

// endsWaitForOthers has a call wait for what another one holds, if the policy
// makes calls wait at all.
func endsWaitForOthers(t *testing.T, p policy.Policy) {
	release := make(chan struct{})
	var holders sync.WaitGroup
	for range 20 {
		holders.Go(func() {
			_ = p.Do(t.Context(), testCall, func(ctx context.Context, _ policy.Call) error {
				select {
				case <-release:
				case <-ctx.Done():
				}
				return nil
			})
		})
	}
	synctest.Wait()
	// If the call does not end by itself, it does after an hour, to say so.
	late := time.AfterFunc(time.Hour, func() { close(release) })
	after, err := abandon(t, p, block)
	if after > 0 {
		t.Errorf("Do() = %v, %v after the caller left, while others hold what it waits for: want it at once", err, after)
	}
	if late.Stop() {
		close(release)
	}
	holders.Wait()
}

func survivesCancel(t *testing.T, p policy.Policy) {
	for range 20 {
		_, _ = abandon(t, p, block)
		works(t, p, "a caller left")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_ = p.Do(ctx, testCall, succeed)
	if took := time.Since(start); took > 0 {
		t.Errorf("Do() of a caller that has left already took %v, want none", took)
	}
	works(t, p, "a caller left")
}
