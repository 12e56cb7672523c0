package interop_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

//go:embed testdata/oidc-provider
var embedded embed.FS

// The registry to download from is the user's choice.
func TestLockFileNamesNoRegistry(t *testing.T) {
	lock, err := embedded.ReadFile("testdata/oidc-provider/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(lock, []byte(`"resolved"`)) {
		t.Error("package-lock.json holds addresses: want it made by npm install --omit-lockfile-registry-resolved")
	}
}

// installedOIDCProvider returns a directory with server.mjs and the packages that it needs. It
// skips the test if there is none.
func installedOIDCProvider(t *testing.T) (dir string) {
	t.Helper()
	if os.Getenv("EVENKEEL_OIDC_PROVIDER") != "1" {
		t.Skip("EVENKEEL_OIDC_PROVIDER is not 1: that has oidc-provider downloaded by npm, and tested against")
	}
	dir, err := install()
	if err != nil {
		t.Skipf("oidc-provider cannot be installed: %v", err)
	}
	return dir
}

// install downloads what is not in the user's cache yet.
var install = sync.OnceValues(func() (dir string, err error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return "", err
		}
	}
	files, err := fs.Sub(embedded, "testdata/oidc-provider")
	if err != nil {
		return "", err
	}
	sum, err := checksum(files)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "evenkeel", "oidc-provider-"+sum)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, installTo(dir, files)
})

// checksum returns what tells one set of files from another.
func checksum(files fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		hash.Write(append([]byte(path), text...))
		return err
	})
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), err
}

// installTo makes dir, all at once, so that nobody finds half of it.
func installTo(dir string, files fs.FS) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	half, err := os.MkdirTemp(filepath.Dir(dir), "half")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(half) }()
	if err := os.CopyFS(half, files); err != nil {
		return err
	}
	npm := exec.CommandContext(context.Background(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = half
	if out, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", npm, err, out)
	}
	if err := os.Rename(half, dir); err != nil && !errors.Is(err, fs.ErrExist) { // somebody was faster
		return err
	}
	return nil
}
