package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A lease is the context of a request on its way. It has the values of the policies'
// context, and ends with that until it is let go; from then on only with that of the
// caller. It must be released when it is no longer used.
//
// It is a standard context from the moment that somebody asks for Done, as transports
// over a network do and others need not.
type lease struct {
	context.Context // of the policies
	caller          context.Context

	mu       sync.Mutex
	free     bool // whether it has been let go
	over     bool // whether it has been released
	standard atomic.Pointer[leased]
}

// A leased context is a standard one that ends with that of the caller.
type leased struct {
	context.Context
	end  context.CancelCauseFunc
	free func() bool // stops watching the policies
}

// A view is the context of the caller, and of the policies only the values.
type view struct {
	context.Context // of the caller
	values          context.Context
}

// Value asks the caller for what only he has: package context finds by it what to end
// together with him.
func (v view) Value(key any) any {
	if value := v.values.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}

func newLease(ctx, caller context.Context) (context.Context, *lease) {
	l := &lease{Context: ctx, caller: caller}
	return l, l
}

func (l *lease) Deadline() (time.Time, bool) { return l.caller.Deadline() }

func (l *lease) Done() <-chan struct{} { return l.made().Done() }

func (l *lease) Err() error {
	if s := l.standard.Load(); s != nil {
		return s.Err()
	}
	if l.alive() {
		return nil
	}
	return l.made().Err() // which stays the same
}

func (l *lease) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && l.caller.Err() == nil && (l.free || l.Context.Err() == nil)
}

// Value has contexts that are derived from l hang on the standard one, which tells
// them of its end without a goroutine.
func (l *lease) Value(key any) any {
	if s := l.standard.Load(); s != nil {
		return s.Value(key)
	}
	return l.Context.Value(key)
}

// made returns the standard context that l now is.
func (l *lease) made() *leased {
	if s := l.standard.Load(); s != nil {
		return s
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.standard.Load(); s != nil {
		return s
	}
	s := &leased{free: nothing}
	s.Context, s.end = context.WithCancelCause(view{l.caller, context.WithoutCancel(l.Context)})
	switch {
	case l.over:
		s.end(nil)
	case !l.free:
		s.free = l.endWithPolicies(s)
	}
	l.standard.Store(s)
	return s
}

// endWithPolicies has s end when the policies' context does, until stop is called, which
// fails if that has happened. If the caller's has, s ends with that, and for its reason.
func (l *lease) endWithPolicies(s *leased) (stop func() bool) {
	end := func() {
		if l.caller.Err() == nil {
			s.end(context.Cause(l.Context))
		}
	}
	switch {
	case l.Context.Err() != nil:
		end()
		return func() bool { return false }
	case l.Context.Done() == nil:
		return nothing
	default:
		return context.AfterFunc(l.Context, end)
	}
}

func nothing() bool { return true }

// letGo has l end with the caller only. It fails if the policies' context has ended
// before.
func (l *lease) letGo() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = true
	if s := l.standard.Load(); s != nil {
		return s.free()
	}
	return l.Context.Err() == nil
}

// release ends l.
func (l *lease) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over, l.free = true, true
	if s := l.standard.Load(); s != nil {
		s.free()
		s.end(nil)
	}
}
