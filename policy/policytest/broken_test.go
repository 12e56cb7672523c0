package policytest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

// broken holds policies that break the contract, by what they do.
var broken = map[string]struct {
	do   func(slot chan struct{}) func(context.Context, policy.Call, policy.Handler) error
	want string // what the suite says
}{
	"keeps its slot on a panic": {func(slot chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			select {
			case slot <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			err := next(ctx, call)
			<-slot
			return err
		}
	}, "given back"},
	"waits for a slot whoever leaves": {func(slot chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			slot <- struct{}{}
			defer func() { <-slot }()
			return next(ctx, call)
		}
	}, "ends_the_wait_for_another_call"},
	"swallows errors": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			if err := next(ctx, call); ctx.Err() != nil {
				return err
			}
			return nil
		}
	}, "Call.Resolve"},
	"hides the cause": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			if err := next(ctx, call); err != nil {
				return errors.New("failed")
			}
			return nil
		}
	}, "want an error that wraps"},
	"sleeps on": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			err := next(ctx, call)
			if err != nil {
				time.Sleep(time.Second)
			}
			return err
		}
	}, "after the caller left"},
	"makes a call of its own": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, _ policy.Call, next policy.Handler) error { return next(ctx, policy.Call{}) }
	}, "operation got call"},
	"forgets the context": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(_ context.Context, call policy.Call, next policy.Handler) error {
			return next(context.Background(), call)
		}
	}, "want it kept"},
	"recovers": {func(chan struct{}) func(context.Context, policy.Call, policy.Handler) error {
		return func(ctx context.Context, call policy.Call, next policy.Handler) error {
			defer func() { _ = recover() }()
			return next(ctx, call)
		}
	}, "want the operation's panic value"},
}

const selected = "EVENKEEL_POLICYTEST_BROKEN"

func TestFindsWhatIsBroken(t *testing.T) {
	for name, tt := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$")
			cmd.Env = append(os.Environ(), selected+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("suite ended with %v, want it to fail and to say %q:\n%s", err, tt.want, out)
			}
		})
	}
}

// TestBroken runs in a process of its own, where it fails.
func TestBroken(t *testing.T) {
	tt, ok := broken[os.Getenv(selected)]
	if !ok {
		t.Skip("is run by TestFindsWhatIsBroken")
	}
	policytest.Run(t, func() policy.Policy { return policy.New("broken", tt.do(make(chan struct{}, 1))) })
}
