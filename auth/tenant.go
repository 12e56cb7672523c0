package auth

import (
	"container/list"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A tenant is what a Keyed holds for a key.
//
// It is in the map and the order of its holder, or has been dropped. A call
// enters one that is there, and one with calls in it is not dropped, so there are
// never two policies that use the same grant.
type tenant struct {
	key   string
	place *list.Element
	calls atomic.Int64 // in it; they enter with the mutex of the holder held
	used  atomic.Int64 // when a call last entered or left, after holder.began

	policy atomic.Pointer[Policy] // nil before New has returned its configuration

	making  chan struct{} // holds an element while New is asked
	failure *AuthError    // of New, or nil; guarded by making
}

// with calls f with the policy of a key.
func (h *holder) with(ctx context.Context, call policy.Call, key string, f func(*Policy) error) error {
	if key == "" {
		return fail(ctx, call, errNoKey, nil)
	}
	t := h.enter(key)
	defer h.leave(t)
	p := t.policy.Load()
	if p == nil {
		var failure *AuthError
		if p, failure = h.settle(ctx, t); failure != nil {
			return fail(ctx, call, failure, h.labels(key))
		}
	}
	return f(p)
}

// enter returns the tenant of a key, which is not dropped before leave.
func (h *holder) enter(key string) *tenant {
	now := time.Since(h.began)
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.tenants[key]
	if ok {
		h.order.MoveToFront(t.place)
	} else {
		t = &tenant{key: key, making: make(chan struct{}, 1)}
		t.place = h.order.PushFront(t)
		h.tenants[key] = t
	}
	t.calls.Add(1)
	t.used.Store(int64(now))
	h.dropIdle(now)
	return t
}

func (h *holder) leave(t *tenant) {
	t.used.Store(int64(time.Since(h.began)))
	t.calls.Add(-1)
}

// settle returns the policy of a tenant that has none yet. New is asked by one
// call at a time, with its own context: if that ends, the next one goes on.
func (h *holder) settle(ctx context.Context, t *tenant) (*Policy, *AuthError) {
	if ctx.Value(makingOf{t}) != nil {
		return nil, errRecursive
	}
	select {
	case t.making <- struct{}{}:
		defer func() { <-t.making }() // also if New panics
	case <-ctx.Done():
		return nil, errLeft(ctx)
	}
	p := t.policy.Load()
	switch {
	case p != nil || t.failure != nil:
		return p, t.failure
	case h.isClosed():
		return nil, errClosed
	}
	p, err := h.make(ctx, t)
	switch {
	case err == nil:
		h.hold(t, p)
		return p, nil
	case ctx.Err() != nil:
		return nil, errLeft(ctx)
	}
	t.failure = newFailure(err) // for those who wait already
	h.drop(t)
	return nil, t.failure
}

// makingOf is the key of contexts that New is asked with.
type makingOf struct{ *tenant }

// make returns a policy as New wants it.
func (h *holder) make(ctx context.Context, t *tenant) (*Policy, error) {
	config, err := h.config.New(context.WithValue(ctx, makingOf{t}, true), t.key)
	if err != nil {
		return nil, err
	}
	if config.Store != nil && config.Grant == "" {
		config.Grant = t.key
	}
	p := New(config)
	if err := p.Validate(); err != nil {
		return nil, policy.WithClass(err, policy.Permanent)
	}
	p.grant.turns = h.turns
	p.grant.labels = h.labels(t.key)
	return p, nil
}

// labels returns what events tell of a key.
func (h *holder) labels(key string) []slog.Attr {
	if !h.config.ShowDigest {
		return nil
	}
	return []slog.Attr{slog.String("key.digest", digestOf(key))}
}
