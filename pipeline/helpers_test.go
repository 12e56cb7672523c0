package pipeline_test

import (
	"context"

	"github.com/evenkeel-go/evenkeel/policy"
)

// policyFunc returns the work of a policy that sees, and may change, errors.
func policyFunc(do func(error) error) func(context.Context, policy.Call, policy.Handler) error {
	return func(ctx context.Context, call policy.Call, next policy.Handler) error { return do(next(ctx, call)) }
}
