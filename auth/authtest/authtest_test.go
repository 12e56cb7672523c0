package authtest_test

import (
	"path/filepath"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/authtest"
)

func ExampleStore() {
	// In a file whose name ends in _test.go:
	test := func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		authtest.Store(t, func(*testing.T) auth.Store { return auth.NewFileStore(path) })
	}
	_ = test
}
