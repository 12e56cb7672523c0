package hedge

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/internal/latency"
	"github.com/evenkeel-go/evenkeel/policy"
)

// errLost is why the context of an attempt ends when another one has the answer.
var errLost = fmt.Errorf("hedge: another attempt was faster: %w", context.Canceled)

// A race is a call with its attempts. The first one runs in the caller's
// goroutine, and each hedge in that of the timer that has set it off, so that
// hardly anything happens while all goes well.
type race struct {
	policy  *Policy
	call    policy.Call
	next    policy.Handler
	latency *latency.Observed
	delay   time.Duration
	ctx     context.Context // of the attempts
	lose    context.CancelCauseFunc
	hedges  sync.WaitGroup // those under way

	mu       sync.Mutex
	timer    *time.Timer // until the next hedge
	started  int         // how many hedges
	over     bool        // no hedge starts any more
	answered bool        // by winner, with err
	winner   int         // 0 for the first attempt
	err      error       // the answer, or the last failure until there is one
	panicked any         // the value of a hedge's panic
	exited   bool        // whether a hedge has called Goexit
}

// run returns the answer, or the last failure, when all attempts have ended.
func (r *race) run(ctx context.Context) error {
	attempts, lose := context.WithCancelCause(ctx)
	r.ctx, r.lose = attempts, lose
	r.schedule()
	defer r.abort()
	start := time.Now()
	r.end(0, r.next(attempts, r.call))
	took := time.Since(start)
	r.hedges.Wait()
	switch {
	case r.panicked != nil:
		panic(r.panicked)
	case r.exited:
		runtime.Goexit()
	case r.answered:
		// If the first attempt has lost, it would have taken longer than that. It has
		// taken longer than the delay, which is all that the quantile depends on.
		r.latency.Observe(took, r.policy.config.Quantile)
	}
	r.tell(ctx)
	return r.err
}

// abort leaves nothing running, also when the first attempt panics.
func (r *race) abort() {
	r.mu.Lock()
	r.halt()
	r.mu.Unlock()
	r.lose(errLost)
	r.hedges.Wait()
}

// schedule sets the timer of the first hedge.
func (r *race) schedule() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = time.AfterFunc(r.delay, r.hedge)
}

// hedge makes a hedge, unless it has become pointless or must not be.
func (r *race) hedge() {
	number, reason, ok := r.enter()
	if !ok {
		return
	}
	defer r.hedges.Done()
	returned := false
	defer func() {
		if !returned {
			r.fall(recover())
		}
	}()
	if reason != "" {
		r.call.Emit(r.ctx, "hedge.skipped", slog.String("reason", reason))
	} else {
		r.call.Emit(r.ctx, "hedge.started", slog.Int("hedges", number), slog.Duration("delay", r.delay))
		call := r.call
		call.Hedge = number
		r.end(number, r.next(r.ctx, call))
	}
	returned = true
}

// enter returns the number of a hedge, or the reason why there must be none. It is
// not ok if the call needs none any more.
func (r *race) enter() (number int, reason string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.ctx.Err() != nil {
		return 0, "", false
	}
	r.hedges.Add(1) // before run waits, as that does when all is over
	switch {
	case !r.latency.Fits(r.ctx, 0):
		reason = "deadline"
	case !r.policy.config.Budget.Withdraw():
		reason = "budget"
	default:
		r.started++
		if r.started < r.policy.config.MaxHedges {
			r.timer.Reset(r.delay)
		}
		return r.started, "", true
	}
	r.halt()
	return 0, reason, true
}

// end takes down how an attempt has ended.
func (r *race) end(number int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.halt()
	switch {
	case r.answered:
	case answers(err):
		r.answered, r.winner, r.err = true, number, err
		r.lose(errLost)
	case r.err == nil, r.ctx.Err() == nil && isFailure(err):
		r.err = err
	}
}

// fall takes down that a hedge has panicked with the given value, or has called
// Goexit if that is nil.
func (r *race) fall(value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.halt()
	r.lose(errLost)
	if r.panicked == nil {
		r.panicked, r.exited = value, value == nil
	}
}

// halt has no hedge start any more.
func (r *race) halt() {
	r.over = true
	r.timer.Stop()
}

// tell says how the call has ended.
func (r *race) tell(ctx context.Context) {
	switch {
	case r.started == 0:
		r.call.Outcome(ctx, notHedged)
	case !r.answered:
		r.call.Outcome(ctx, failed)
	case r.winner == 0:
		r.call.Outcome(ctx, lost)
	default:
		r.call.Emit(ctx, "hedge.won", slog.Int("winner", r.winner))
		r.call.Outcome(ctx, won)
	}
}

// isFailure reports whether err has a cause of its own, and is not a policy's refusal
// or the end of a context, which must not hide one.
func isFailure(err error) bool {
	class := policy.ClassOf(err)
	return class != policy.Canceled && class != policy.Rejected
}
