package workflow

import (
	"context"
	"net/url"
	"strconv"
)

// Key returns what tells the step under way from all others: the names of its flow
// and run, and its ordinal in that. It is the same each time that the step is
// carried out, after failures and crashes too, so a server that is given it can
// tell the same request from another one of the same content. It consists of
// characters that a header may have. Programs that send requests to the same server need
// flows of different names. Outside of a step it is "".
//
// HTTP requests of the step's function through [pipeline.Pipeline.Transport] carry it as
// their Idempotency-Key.
func Key(ctx context.Context) string {
	key, _ := ctx.Value(stepKey{}).(string)
	return key
}

type stepKey struct{}

// WithKey returns a context whose [Key] is that of the step with the given ordinal,
// counted from 1, of a run. It is for engines.
func WithKey(ctx context.Context, flow, id string, ordinal int) context.Context {
	key := url.PathEscape(flow) + "/" + url.PathEscape(id) + "/" + strconv.Itoa(ordinal)
	return context.WithValue(ctx, stepKey{}, key)
}
