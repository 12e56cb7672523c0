package auth

import (
	"strings"
	"sync"
)

// nonces are what servers want to find in proofs, by origin. The zero value is
// empty.
type nonces struct {
	mu       sync.Mutex
	byOrigin map[string]string
}

// What nonces may cost.
const (
	maxNonces     = 100
	maxNonceBytes = 1 << 10
)

func (n *nonces) of(origin string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byOrigin[origin]
}

// set takes down a nonce, and reports whether it is one (RFC 9449, section 8.1).
func (n *nonces) set(origin, nonce string) bool {
	if nonce == "" || len(nonce) > maxNonceBytes || !isPrintable(nonce) || strings.ContainsAny(nonce, ` "\`) {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byOrigin == nil {
		n.byOrigin = make(map[string]string)
	}
	if _, known := n.byOrigin[origin]; !known && len(n.byOrigin) == maxNonces {
		for other := range n.byOrigin {
			delete(n.byOrigin, other) // any: it costs one more request to learn another
			break
		}
	}
	n.byOrigin[origin] = nonce
	return true
}
