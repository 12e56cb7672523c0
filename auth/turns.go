package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// turns bound how many token requests are under way at a time: they hold an
// element for each. Those that wait are served in the order in which they came.
type turns chan struct{}

var errCrowded = errors.New("too many token requests of other keys are under way")

// takeTurn waits for the turn of f, if it takes one, and no longer than
// patience. The turn is over when end is called, or else when ctx ends, even if
// the source does not heed that.
func (f *flight) takeTurn(ctx context.Context, patience time.Duration) (end func(), err error) {
	if f.turns == nil {
		return func() {}, nil
	}
	if err := f.awaitTurn(ctx, patience); err != nil {
		return nil, err
	}
	give := sync.OnceFunc(func() { <-f.turns })
	stop := context.AfterFunc(ctx, give)
	return func() { stop(); give() }, nil
}

func (f *flight) awaitTurn(ctx context.Context, patience time.Duration) (err error) {
	select {
	case f.turns <- struct{}{}:
		return nil
	default:
	}
	_, done := f.call.Step(f.ctx, "turn wait", f.labels...)
	defer func() { done(err) }()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case f.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errCrowded, context.Cause(ctx))
	}
}
