package policytest_test

import (
	"context"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

// one returns a policy that lets one call pass at a time.
func one() policy.Policy {
	slot := make(chan struct{}, 1)
	return policy.New("one", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }() // also if the operation panics
			return next(ctx, call)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

func TestOne(t *testing.T) { policytest.Run(t, one) }

func ExampleRun() {
	// In a file whose name ends in _test.go:
	test := func(t *testing.T) { policytest.Run(t, one) }
	_ = test
}
