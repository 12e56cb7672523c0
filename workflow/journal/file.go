package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// The buckets of the database.
var (
	metaBucket       = []byte("meta")
	runsBucket       = []byte("runs")
	unfinishedBucket = []byte("unfinished") // for each run, how many entries it has
	finishedBucket   = []byte("finished")   // nothing for each run, by when it has ended
)

var formatKey = []byte("format")

const format = "evenkeel journal 1"

// lockTimeout is for how long a file is waited for that is being closed elsewhere.
const lockTimeout = time.Second

// A file is a database that is a journal.
type file struct {
	path string
	db   *bolt.DB
	os   *os.File // of db
}

// openFile opens a journal, or creates it.
func openFile(path string) (*file, error) {
	switch info, err := os.Stat(path); {
	case path == "":
		return nil, errors.New(`invalid path "": want that of a file`)
	case errors.Is(err, fs.ErrNotExist):
		if err := create(path); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("invalid file of mode %v: want a regular one", info.Mode())
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrDamaged)
	}
	f := &file{path: path}
	err := f.open()
	if err == nil {
		err = guard(f.check)
	}
	if err != nil {
		_ = f.close(err)
		return nil, err
	}
	return f, nil
}

func (f *file) open() error {
	options := &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoStatistics: true}
	options.OpenFile = func(name string, flag int, mode fs.FileMode) (_ *os.File, err error) {
		f.os, err = os.OpenFile(name, flag&^os.O_CREATE, mode)
		return f.os, err
	}
	err := guard(func() (err error) {
		f.db, err = bolt.Open(f.path, 0o600, options)
		return err
	})
	switch {
	case err == nil, isSystem(err):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, ErrDamaged):
		return err
	default:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
}

// close closes the file. The database cannot be trusted to, if it has panicked: it may
// wait for itself.
func (f *file) close(broken error) error {
	if f.db == nil || errors.Is(broken, errPanic) {
		if f.os != nil {
			_ = f.os.Close()
		}
		return nil
	}
	return f.db.Close()
}

// create creates a journal that is whole from the first moment on, so that one which is
// not is damaged.
func create(path string) error {
	dir, name := filepath.Split(path)
	temp, err := os.CreateTemp(filepath.Clean(dir), name+".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	if err := temp.Close(); err != nil {
		return err
	}
	if err := initialize(temp.Name()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func initialize(path string) error {
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{runsBucket, unfinishedBucket, finishedBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucket(metaBucket)
		if err != nil {
			return err
		}
		return meta.Put(formatKey, []byte(format))
	})
	return errors.Join(err, db.Close())
}

// syncDir has a new file survive a power cut. Windows has no such thing.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// errPanic is matched by the errors of guard that have been panics.
var errPanic = errors.New("the database panics")

// guard turns panics and faults, which is how the database meets pages that make no sense,
// into errors.
func guard(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %w: %v", ErrDamaged, errPanic, v)
		}
	}()
	return read()
}

// isSystem reports whether err is of the operating system, and not about what is in a file.
func isSystem(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// withoutPath returns an error of package os without its path, which is named anyway.
func withoutPath(err error) error {
	if e, ok := err.(*fs.PathError); ok { //nolint:errorlint // What wraps it says more.
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}
