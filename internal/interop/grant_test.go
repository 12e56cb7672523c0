package interop_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth26ClientCredentials(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.client(t, w.clientCredentials())
		c.must(t)
		w.revoke(t, w.api.last())
		c.must(t)
		w.wantRequests(t, 2)
	})
}

func TestAuth09Rotation(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{lifetime: 2 * time.Second})
		c := w.loggedIn(t)
		var slowest time.Duration
		for w.api.generations() < 3 {
			start := time.Now()
			crowdOf(t, c, some, "/").must(t) // some of which find the token expired
			slowest = max(slowest, time.Since(start))
			time.Sleep(20 * time.Millisecond)
		}
		// On a machine that stands still for so long, a token may expire on the way.
		stalled := slowest > 400*time.Millisecond
		if got := w.api.refused.Load(); tr.exact && got > 0 && !stalled {
			t.Errorf("API refused %d calls, want 0: tokens are replaced before they expire", got)
		}
		if got := w.requests(t); got != 3 && got != 4 { // the next may be under way
			t.Errorf("server has had %d token requests, want one for each of 3 tokens", got)
		}
	})
}

func TestAuth25SpentRefreshToken(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		c.must(t)
		stolen, err := w.refresh(t, w.wire.last())
		if err != nil {
			t.Fatal(err)
		}
		w.revoke(t, w.api.last())

		_, err = c.get(t.Context(), "/")
		w.wantAuthError(t, err, auth.ErrReauthRequired, "invalid_grant")
		wantRefusal(t, err)
		if want := fmt.Sprintf("answered %d invalid_grant", tr.lostGrantStatus); !strings.HasSuffix(err.Error(), want) {
			t.Errorf("get() = %v, want that the token endpoint %s", err, want)
		}
		for range 50 {
			_, err := c.get(t.Context(), "/")
			w.wantAuthError(t, err, auth.ErrReauthRequired, "invalid_grant")
		}
		w.wantRequests(t, 3) // the first, the thief's, and the one that was refused

		_, err = w.refresh(t, stolen.RefreshToken)
		tr.wantFamily(t, err)
		if err := c.policy.SetToken(t.Context(), w.login(t)); err != nil {
			t.Fatal(err)
		}
		c.must(t)
	})
}

// wantRefusal checks that err, which tells why there is no token, tells also what the API answered.
func wantRefusal(t *testing.T, err error) {
	t.Helper()
	e, _ := errors.AsType[*auth.AuthError](err)
	if e.StatusCode != http.StatusUnauthorized || len(e.Challenges) != 1 || e.Challenges[0].Params["error"] != "invalid_token" {
		t.Errorf("error has status %d and challenges %q, want those of the API", e.StatusCode, e.Challenges)
	}
}

// wantFamily checks what becomes, by err, of the last refresh token of a login after an earlier one
// was used twice.
func (tr traits) wantFamily(t *testing.T, err error) {
	t.Helper()
	if tr.revokesFamily {
		tr.wantRefused(t, err)
	} else if err != nil {
		t.Errorf("server answered %v, want a token", err)
	}
}
