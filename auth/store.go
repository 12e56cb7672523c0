package auth

import (
	"context"
	"errors"
)

// A Store keeps what the replicas of a program share: for each grant one
// record, under a key. Replicas that share a store share the token, and spend a
// refresh token that rotates once, whichever of them does it.
//
// Keys are UTF-8 text without zero bytes, shorter than 2 kB. Values are opaque, and
// hold secrets: see [Encrypt]. Revisions tell one version of a record from all
// others that it ever had: a store never gives a key the same revision twice, and
// none of them is 0. They need not be in sequence.
//
// All that correctness rests on is that Swap compares and writes in one step,
// and that what it has written stays written: a store that forgets, or goes back
// to an earlier state, has the refresh token spent twice. Leases need no support
// from the store, neither expiry nor a clock.
//
// A Store must be safe for concurrent use, in as many processes as share it.
// Its methods return soon after ctx has ended. Their errors appear in those of
// calls, so they must not tell values. What will not pass is of class
// [policy.Permanent]. Package authtest tests that a Store keeps
// this contract.
type Store interface {
	// Load returns the record of key and its revision, or revision 0 and a
	// value of nil if there is none. The value is the caller's to keep and change.
	Load(ctx context.Context, key string) (value []byte, rev uint64, err error)

	// Swap writes the record of key if it still has the given revision, 0 if
	// there is to be none, and returns its new one. It returns [ErrConflict] if the
	// record has another revision. It keeps no reference to value. After any other
	// error the record may or may not have been written.
	Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error)
}

// ErrConflict is what [Store.Swap] returns, by itself or wrapped, if the record
// is not the one that it was to take the place of.
var ErrConflict = errors.New("auth: the record was changed meanwhile")
