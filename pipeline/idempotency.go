package pipeline

import (
	"context"

	"github.com/evenkeel-go/evenkeel/policy"
)

// WithIdempotencyKey returns a context whose HTTP requests, if they are not idempotent by
// their method, carry key as their Idempotency-Key, which makes them repeatable: a
// server that honors it knows the same request again. One that the caller has set
// himself counts before it. The context should be used for one such request.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// IdempotencyKey returns what [WithIdempotencyKey] has set, or "".
func IdempotencyKey(ctx context.Context) string {
	key, _ := ctx.Value(idempotencyKey{}).(string)
	return key
}

type idempotencyKey struct{}

// identify returns call as the one that the server knows again by key, unless that
// would add nothing.
func (x *exchange) identify(call policy.Call, key string) policy.Call {
	if idempotent(x.req) || !x.Accepts("Idempotency-Key") {
		return call
	}
	call.Once = !replayable(x.req)
	return call.WithHeader("Idempotency-Key", key)
}
