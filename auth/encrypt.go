package auth

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
)

// Encrypt returns a [Store] that keeps its records in store, sealed by aead. Each
// is sealed with a new random nonce, which stands before it, and with its key as
// additional data, so that none can take the place of another's. Keys and sizes can
// be seen. An old version of a record that somebody puts back cannot be told from
// the current one.
//
//	block, err := aes.NewCipher(secret) // of 16, 24 or 32 bytes
//	aead, err := cipher.NewGCM(block)
//	store := auth.Encrypt(auth.NewFileStore("tokens"), aead)
//
// A record that does not open is an error of class [policy.Permanent]: it was
// sealed with another secret, or changed, or never sealed at all. To change the
// secret, use an aead that seals with the new one and opens with either; see the
// example.
func Encrypt(store Store, aead cipher.AEAD) Store {
	return encrypted{store, func() cipher.AEAD { return aead }}
}

type encrypted struct {
	store Store
	aead  func() cipher.AEAD // out of reach of what prints structs by reflection
}

// Load implements [Store].
func (s encrypted) Load(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	sealed, rev, err := s.store.Load(ctx, key)
	if err != nil || rev == 0 {
		return nil, 0, err
	}
	value, err = s.open(key, sealed)
	if err != nil {
		return nil, 0, err
	}
	return value, rev, nil
}

// Swap implements [Store].
func (s encrypted) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	return s.store.Swap(ctx, key, s.seal(key, value), rev)
}

func (s encrypted) seal(key string, value []byte) []byte {
	aead := s.aead()
	n := aead.NonceSize()
	sealed := make([]byte, n, n+len(value)+aead.Overhead())
	_, _ = rand.Read(sealed) // never fails
	return aead.Seal(sealed, sealed, value, []byte(key))
}

func (s encrypted) open(key string, sealed []byte) ([]byte, error) {
	aead := s.aead()
	if n := aead.NonceSize(); len(sealed) >= n {
		if value, err := aead.Open(nil, sealed[:n], sealed[n:], []byte(key)); err == nil {
			return value, nil
		}
	}
	return nil, permanentf("auth: a stored record does not open: want one of this key, sealed with the same secret")
}

// Format implements [fmt.Formatter], without the secret.
func (s encrypted) Format(f fmt.State, verb rune) {
	format(f, verb, fmt.Sprintf("encrypted %T", s.store))
}
