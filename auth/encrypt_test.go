package auth_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func newGCM(secret string) cipher.AEAD {
	block, err := aes.NewCipher([]byte(secret))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// A rotation seals with one secret, and opens what was sealed with it or with
// the one before.
type rotation struct {
	cipher.AEAD
	old cipher.AEAD
}

func (r rotation) Open(dst, nonce, sealed, data []byte) ([]byte, error) {
	if value, err := r.AEAD.Open(dst, nonce, sealed, data); err == nil {
		return value, nil
	}
	return r.old.Open(dst, nonce, sealed, data)
}

// To change the secret, run all replicas with a rotation, then have the record
// written once more, as it is with every new token, then run them with the new
// secret alone. Replicas that lack the new secret cannot open what is sealed
// with it, so if they are not all restarted at once, first run them with a rotation that
// still seals with the old one.
func ExampleEncrypt_rotation() {
	ctx := context.Background()
	store := new(auth.MemoryStore)
	before, after := newGCM("the secret of 16"), newGCM("another secret16")

	_, _ = auth.Encrypt(store, before).Swap(ctx, "orders", []byte("token"), 0)

	rotated := auth.Encrypt(store, rotation{AEAD: after, old: before})
	value, rev, _ := rotated.Load(ctx, "orders")
	_, _ = rotated.Swap(ctx, "orders", value, rev)

	value, _, err := auth.Encrypt(store, after).Load(ctx, "orders")
	fmt.Println(string(value), err)
	_, _, err = auth.Encrypt(store, before).Load(ctx, "orders")
	fmt.Println(err)
	// Output:
	// token <nil>
	// auth: a stored record does not open: want one of this key, sealed with the same secret
}

func TestAuth35EncryptSeals(t *testing.T) {
	ctx := t.Context()
	memory := new(auth.MemoryStore)
	store := auth.Encrypt(memory, newGCM("the secret of 16"))
	rev := mustSwap(t, store, "orders", "CANARY", 0)
	first, _, err := memory.Load(ctx, "orders")
	if err != nil || bytes.Contains(first, []byte("CANARY")) {
		t.Errorf("the store behind holds %q (%v), want it sealed", first, err)
	}
	mustSwap(t, store, "orders", "CANARY", rev)
	if second, _, _ := memory.Load(ctx, "orders"); bytes.Equal(first[:12], second[:12]) {
		t.Error("two records have the same nonce")
	}
}

func TestAuth40Encrypt(t *testing.T) {
	type aead struct {
		cipher.AEAD
		secret string
	}
	for _, aead := range []cipher.AEAD{aead{newGCM("the secret of 16"), "CANARY"}, &aead{newGCM("the secret of 16"), "CANARY"}} {
		store := auth.Encrypt(new(auth.MemoryStore), aead)
		isClean(t, "store", store)
		isClean(t, "struct with a store", struct{ Store auth.Store }{store})
		isClean(t, "struct with an unexported store", struct{ store auth.Store }{store})
	}
}

func TestAuth35EncryptOpensOnlyItsOwn(t *testing.T) {
	ctx := t.Context()
	memory := new(auth.MemoryStore)
	store := auth.Encrypt(memory, newGCM("the secret of 16"))
	mustSwap(t, store, "orders", "CANARY", 0)
	sealed, _, err := memory.Load(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	tests := map[string][]byte{
		"of another key":   sealed,
		"changed":          flipped,
		"cut off":          sealed[:len(sealed)-1],
		"less than nonce":  sealed[:5],
		"empty":            nil,
		"not sealed":       []byte("CANARY that nobody has sealed"),
		"of another nonce": append([]byte("another one!"), sealed[12:]...),
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			mustSwap(t, memory, name, string(value), 0)
			got, rev, err := store.Load(t.Context(), name)
			if err == nil || got != nil || rev != 0 || !strings.Contains(err.Error(), "does not open") {
				t.Fatalf("Load() = %q, %v, %v, want an error", got, rev, err)
			}
			if got := policy.ClassOf(err); got != policy.Permanent {
				t.Errorf("class = %v, want %v", got, policy.Permanent)
			}
			isClean(t, "error", err)
		})
	}
}
