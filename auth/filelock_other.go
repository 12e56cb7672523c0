//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package auth

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// tryLock returns an error: the standard library alone does not lock files here.
func tryLock(*os.File) (bool, error) {
	return false, fmt.Errorf("lock on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
