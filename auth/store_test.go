package auth_test

import (
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/authtest"
)

func TestAuth29MemoryStore(t *testing.T) {
	store := new(auth.MemoryStore)
	authtest.Store(t, func(*testing.T) auth.Store { return store })
}

func TestAuth29FileStore(t *testing.T) {
	path := filePath(t)
	authtest.Store(t, func(*testing.T) auth.Store { return auth.NewFileStore(path) })
}

func TestAuth29FileStoreShared(t *testing.T) {
	store := auth.NewFileStore(filePath(t))
	authtest.Store(t, func(*testing.T) auth.Store { return store })
}

func TestAuth35Encrypt(t *testing.T) {
	store := new(auth.MemoryStore)
	authtest.Store(t, func(*testing.T) auth.Store { return auth.Encrypt(store, newGCM("the secret of 16")) })
}
