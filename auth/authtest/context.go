package authtest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
)

// patience is how long a call may take whose context has ended before.
const patience = 2 * time.Second

func heedsContext(t *testing.T, r *replicas) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, ctx := range map[string]context.Context{"canceled": canceled, "expired": expired} {
		t.Run(name, func(t *testing.T) {
			key := r.key + "/" + name
			endsSoon(t, "Swap() of a new record", func() error {
				_, err := r.a.Swap(ctx, key, []byte("first"), 0)
				return err
			})
			r.lacks(t, key)
			rev := swap(t, r.a, key, []byte("first"), 0)
			endsSoon(t, "Swap()", func() error {
				_, err := r.a.Swap(ctx, key, []byte("second"), rev)
				return err
			})
			endsSoon(t, "Load()", func() error {
				_, _, err := r.a.Load(ctx, key)
				return err
			})
			r.holds(t, key, []byte("first"), rev)
		})
	}
}

// endsSoon checks that a call whose context has ended returns that soon.
func endsSoon(t *testing.T, what string, call func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		if err == nil || errors.Is(err, auth.ErrConflict) {
			t.Errorf("%s = %v, want an error that says that the context has ended", what, err)
		}
	case <-timer.C:
		t.Fatalf("%s goes on %v after its context has ended, want it to return soon", what, patience)
	}
}

// tellsNoValue looks at the errors that any store returns.
func tellsNoValue(t *testing.T, r *replicas) {
	const secret = "AUTHTEST-SECRET"
	rev := swap(t, r.a, r.key, []byte(secret), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, conflict := r.a.Swap(t.Context(), r.key, []byte(secret), 0)
	_, swapErr := r.a.Swap(ctx, r.key, []byte(secret), rev)
	_, _, loadErr := r.a.Load(ctx, r.key)
	for _, err := range []error{conflict, swapErr, loadErr} {
		text := fmt.Sprintf("%v %+v %#v", err, err, err)
		for _, form := range []string{
			secret, hex.EncodeToString([]byte(secret)), base64.RawStdEncoding.EncodeToString([]byte(secret)),
			strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
		} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(form)) {
				t.Errorf("the error %q tells the value, want errors without it", text)
			}
		}
	}
}
