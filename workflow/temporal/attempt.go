package temporal

import (
	"context"
	"runtime/debug"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// attempt calls fn, in a goroutine of its own, and tells Temporal in the meantime that the worker
// lives. If the worker is stopped, it cancels fn's context.
func attempt[T any](ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	call := &call[T]{done: make(chan struct{})}
	go call.run(ctx, fn)

	heartbeat, stop := heartbeats(ctx)
	defer stop()
	stopping := activity.GetWorkerStopChannel(ctx)
	for {
		select {
		case <-call.done:
			return call.out, call.err
		case <-heartbeat:
			activity.RecordHeartbeat(ctx)
		case <-stopping:
			cancel(errStopped)
			stopping = nil
		}
	}
}

// errStopped is why the context of a step has ended if its worker was stopped.
var errStopped = policy.WithClass(workflow.ErrClosed, policy.Canceled)

// atOnce is the delay of a step that nothing is wrong with.
const atOnce = time.Millisecond

// stopped reports whether f has come about because the worker was stopped.
func stopped(ctx context.Context, f *workflow.Failure) bool {
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return f.Class() == policy.Canceled
	default:
		return false
	}
}

// heartbeats ticks at a third of the activity's timeout for them, if it has one.
func heartbeats(ctx context.Context) (<-chan time.Time, func()) {
	every := activity.GetInfo(ctx).HeartbeatTimeout / 3
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// A call is one of a function that may panic.
type call[T any] struct {
	done chan struct{} // closed when the following are set
	out  T
	err  error
}

func (c *call[T]) run(ctx context.Context, fn func(context.Context) (T, error)) {
	returned := false
	defer func() {
		defer close(c.done)
		if returned {
			return
		}
		p := recover()
		activity.GetLogger(ctx).Error("panic in a step", "panic", p, "stack", string(debug.Stack()))
		c.err = panicked(p)
	}()
	c.out, c.err = fn(ctx)
	returned = true
}
