package coalesce

import (
	"context"
	"log/slog"
	"runtime"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A flight is one execution of identical calls.
type flight struct {
	id      identity
	outcome policy.SharedOutcome
	end     context.CancelFunc // of its context
	link    slog.Attr          // to the call that began it

	waiters int  // guarded by the mutex of flights
	landed  bool // so guarded, too

	done     chan struct{} // closed when it has landed
	aborted  bool          // by panic or Goexit; set before done is closed
	panicked any           // set with aborted, nil for Goexit
}

// inFlight is where the contexts of a policy's flights say that they are.
type inFlight struct{ *Policy }

// join returns the flight of calls that are identical to this one, and whether it
// begins with this one.
func (p *Policy) join(ctx context.Context, call policy.Call, next policy.Handler, id identity, op policy.Sharer) (f *flight, leads bool) {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	p.flights.waiting++
	if f = p.flights.byID[id]; f != nil {
		f.waiters++
		return f, false
	}
	flightCtx, end := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), inFlight{p}, true))
	shared, outcome := op.Share(flightCtx, p.config.MaxBytes)
	f = &flight{id: id, outcome: outcome, end: end, link: call.Link(ctx), waiters: 1, done: make(chan struct{})}
	p.flights.byID[id] = f
	go p.flights.fly(flightCtx, call.WithOperation(shared), next, f)
	return f, true
}

// fly carries out the call.
func (fs *flights) fly(ctx context.Context, call policy.Call, next policy.Handler, f *flight) {
	returned := false
	defer func() {
		if !returned {
			f.aborted, f.panicked = true, recover()
		}
		fs.land(f)
	}()
	f.outcome.End(next(ctx, call))
	returned = true
}

// land has those who wait take what there is.
func (fs *flights) land(f *flight) {
	fs.mu.Lock()
	f.landed = true
	fs.remove(f)
	last := f.waiters == 0
	fs.mu.Unlock()
	if last {
		f.outcome.Close()
	}
	close(f.done)
}

// wait has the call end as f does, unless it cannot share that.
func (fs *flights) wait(ctx context.Context, call policy.Call, f *flight, leads bool) (shared bool, err error) {
	defer fs.leave(f)
	if !leads {
		call.Emit(ctx, "coalesce.joined")
		_, end := call.Step(ctx, "coalesce wait", f.link)
		defer end(nil)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return true, context.Cause(ctx)
	}
	if f.aborted {
		f.abort()
	}
	return f.outcome.Settle(call)
}

// abort ends the goroutine as the operation has ended its own.
func (f *flight) abort() {
	if f.panicked == nil {
		runtime.Goexit()
	}
	panic(f.panicked)
}

// leave is called by each call that does not wait any more. The last one ends
// the flight.
func (fs *flights) leave(f *flight) {
	fs.mu.Lock()
	fs.waiting--
	f.waiters--
	last, landed := f.waiters == 0, f.landed
	if last {
		fs.remove(f)
	}
	fs.mu.Unlock()
	if !last {
		return
	}
	f.end()
	if landed {
		f.outcome.Close()
	}
}

// remove has no more calls join f.
func (fs *flights) remove(f *flight) {
	if fs.byID[f.id] == f {
		delete(fs.byID, f.id)
	}
}
