package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A FileStore is a [Store] in one file, shared by processes of one machine and
// user. Make one with [NewFileStore]. It is safe for concurrent use.
//
// The file is JSON, readable for its owner only, and only ever replaced as a
// whole: whoever reads it, even after a crash or loss of power, finds all of one
// version. It holds secrets in the clear, unless they come through [Encrypt]. Two
// more files lie beside it. The one whose name ends in ".lock" is what processes
// take turns by (flock(2)), and stays; they must all use the same path, on a file
// system that is not of a network. The one that ends in ".tmp" becomes the new version.
//
// A file that is damaged, not ours, not a regular one, or open to other users is
// an error of class [policy.Permanent], and left as it is: to start afresh would
// spend old refresh tokens twice.
//
// Writing needs a Unix system that has flock(2). Elsewhere Swap returns an error
// that matches [errors.ErrUnsupported].
type FileStore struct {
	path string
	turn chan struct{} // holds an element while one of this process writes
}

// NewFileStore returns a store in the file at path, which need not exist, while
// its directory must. The file is not opened before the first use.
func NewFileStore(path string) *FileStore {
	return &FileStore{path, make(chan struct{}, 1)}
}

// Validate reports whether the store has a path.
func (s *FileStore) Validate() error {
	if s.path == "" {
		return errors.New(`invalid path "": want that of a file`)
	}
	return nil
}

// Load implements [Store]. It takes no lock, so it waits for nobody.
func (s *FileStore) Load(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	records, err := s.read()
	if err != nil {
		return nil, 0, s.failed(err)
	}
	return records[key].Value, records[key].Rev, nil
}

// Swap implements [Store]. It waits for its turn for as long as ctx allows.
// When it returns without an error, the record survives a loss of power.
func (s *FileStore) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return 0, s.failed(err)
	}
	defer unlock()
	records, err := s.read()
	if err != nil {
		return 0, s.failed(err)
	}
	if records[key].Rev != rev {
		return 0, ErrConflict
	}
	next = newRevision()
	records[key] = storeRecord{value, next}
	if err := s.write(records); err != nil {
		return 0, s.failed(err)
	}
	return next, nil
}

func (s *FileStore) failed(err error) error {
	return fmt.Errorf("auth: file store %q: %w", s.path, err)
}

// read returns the records in the file, none if there is no file.
func (s *FileStore) read() (map[string]storeRecord, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return make(map[string]storeRecord), s.checkDir()
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, permanentf("it is %v: want a regular file", info.Mode())
	case info.Mode().Perm()&0o077 != 0:
		return nil, permanentf("it is %v: want %v, as it holds secrets", info.Mode(), fs.FileMode(0o600))
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	return parseRecords(data)
}

// checkDir tells a file that is not there from one whose directory is not.
func (s *FileStore) checkDir() error {
	dir := filepath.Dir(s.path)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return permanentf("no directory %q: want it to exist", dir)
	}
	return nil
}

// write replaces the file. It must be called with the lock held.
func (s *FileStore) write(records map[string]storeRecord) error {
	data, err := formatRecords(records)
	if err != nil {
		return err
	}
	temporary := s.path + ".tmp"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // of a process that was killed
	}
	if err := writeSynced(temporary, data); err != nil {
		return err
	}
	if err := os.Rename(temporary, s.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.path))
}

// writeSynced writes a new file, and returns when it is on the disk.
func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir returns when what was renamed in a directory stays so.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// lock returns when nobody else writes, in this process or another.
func (s *FileStore) lock(ctx context.Context) (unlock func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := errors.Join(s.Validate(), s.checkDir()); err != nil {
		return nil, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	f, err := s.lockFile(ctx)
	if err != nil {
		<-s.turn
		return nil, err
	}
	return func() {
		_ = f.Close() // also gives back the lock, as the end of the process does
		<-s.turn
	}, nil
}

// lockFile returns the file beside, locked against other processes.
func (s *FileStore) lockFile(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(f)
		if err == nil && !locked {
			err = policy.Sleep(ctx, time.Millisecond+rand.N(10*time.Millisecond)) // about as long as others hold it
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if locked {
			return f, nil
		}
	}
}
