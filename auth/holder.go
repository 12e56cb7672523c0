package auth

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// A holder holds the tenants of a Keyed.
type holder struct {
	config KeyedConfig
	turns  turns
	began  time.Time

	mu      sync.Mutex
	tenants map[string]*tenant
	order   list.List // of the tenants; the first was used last
	closed  bool
}

func newHolder(c KeyedConfig) *holder {
	return &holder{
		config:  c,
		turns:   make(turns, max(0, c.MaxFlights)),
		began:   time.Now(),
		tenants: make(map[string]*tenant),
	}
}

// hold has a tenant use a policy, and drops others if there are too many.
func (h *holder) hold(t *tenant, p *Policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		p.grant.shut()
	}
	t.policy.Store(p)
	for range maxLooks {
		if len(h.tenants) <= h.config.MaxKeys {
			return
		}
		h.dropLast()
	}
}

// maxLooks is how many tenants are looked at, at a time, for one that may be
// dropped.
const maxLooks = 8

// dropIdle drops tenants that have not been used for too long. It must be called
// with h.mu held.
func (h *holder) dropIdle(now time.Duration) {
	for range maxLooks {
		last := h.order.Back().Value.(*tenant)
		if now-time.Duration(last.used.Load()) < h.config.IdleFor {
			return
		}
		last.used.Store(int64(now)) // to look at it again after a while if it stays
		h.dropLast()
	}
}

// dropLast drops the tenant that was used least recently, or puts it first if it
// must stay. It must be called with h.mu held.
func (h *holder) dropLast() {
	place := h.order.Back()
	t := place.Value.(*tenant)
	if t.calls.Load() > 0 || !t.retire() {
		h.order.MoveToFront(place)
		return
	}
	h.order.Remove(place)
	delete(h.tenants, t.key)
}

// retire has the policy of a tenant ask for no tokens any more, unless that
// would lose something.
func (t *tenant) retire() bool {
	p := t.policy.Load()
	return p == nil || p.grant.retire()
}

// drop drops a tenant, if it has not been.
func (h *holder) drop(t *tenant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tenants[t.key] == t {
		h.order.Remove(t.place)
		delete(h.tenants, t.key)
	}
}

// find returns the tenant of a key if there is one with a policy.
func (h *holder) find(key string) (*tenant, *Policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.tenants[key]
	if !ok {
		return nil, nil
	}
	return t, t.policy.Load()
}

// forget drops the tenant of a key, once nothing of it is under way any more.
func (h *holder) forget(ctx context.Context, key string) error {
	t, p := h.find(key)
	if p == nil {
		return nil
	}
	if err := p.grant.close(ctx); err != nil {
		return err
	}
	h.drop(t)
	return nil
}

// policies returns those of all tenants.
func (h *holder) policies() []*Policy {
	h.mu.Lock()
	defer h.mu.Unlock()
	var policies []*Policy
	for _, t := range h.tenants {
		if p := t.policy.Load(); p != nil {
			policies = append(policies, p)
		}
	}
	return policies
}

// shut has no tenant be made any more.
func (h *holder) shut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

func (h *holder) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}
