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

// A leased context is a standard one that others end.
type leased struct {
	context.Context
	end         context.CancelCauseFunc
	leave, free func() bool // stop watching the caller, and the policies
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
	s := &leased{leave: nothing, free: nothing}
	s.Context, s.end = context.WithCancelCause(context.WithoutCancel(l.Context))
	switch {
	case l.over:
		s.end(nil)
	case l.free:
		s.leave = s.endWith(l.caller)
	default:
		s.leave, s.free = s.endWith(l.caller), s.endWith(l.Context)
	}
	l.standard.Store(s)
	return s
}

// endWith has s end when ctx does, until stop is called, which fails if that has
// happened.
func (s *leased) endWith(ctx context.Context) (stop func() bool) {
	switch {
	case ctx.Err() != nil:
		s.end(context.Cause(ctx))
		return func() bool { return false }
	case ctx.Done() == nil:
		return nothing
	default:
		return context.AfterFunc(ctx, func() { s.end(context.Cause(ctx)) })
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
		s.leave()
		s.free()
		s.end(nil)
	}
}
