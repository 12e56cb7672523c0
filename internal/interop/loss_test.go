package interop_test

import (
	"net"
	"syscall"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// No server forgives the use of a refresh token whose answer was lost: the grant is.
func TestAuth27AnswerLost(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		w.wire.failAfter(func() error { return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET} })
		w.wantAuthError(t, c.persist(t), auth.ErrReauthRequired, "invalid_grant")
		w.wantRequests(t, 2)

		_, err := w.refresh(t, w.wire.last())
		tr.wantFamily(t, err)
		if err := c.policy.SetToken(t.Context(), &oauth2.Token{RefreshToken: w.login(t).RefreshToken}); err != nil {
			t.Fatal(err)
		}
		c.must(t)
	})
}

func TestAuth27RequestLost(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		w.wire.failBefore(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED})
		if err := c.persist(t); err != nil {
			t.Fatalf("get() = %v, want nil: the refresh token has not been spent", err)
		}
		w.wantRequests(t, 1)

		w.revoke(t, w.api.last())
		c.must(t)
		w.wantRequests(t, 2)
	})
}
