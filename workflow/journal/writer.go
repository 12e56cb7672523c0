package journal

import (
	"bytes"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A write is what one run has written, all of it or nothing.
type write struct {
	changes []change
	err     error // of put
	done    chan error
}

// A change sets a key, or deletes it if value is nil.
type change struct{ bucket, key, value []byte }

// put adds a record.
func (w *write) put(run []byte, number uint32, record any) {
	key := recordKey(run, number)
	value, err := encode(key, record)
	w.err = errors.Join(w.err, err)
	w.changes = append(w.changes, change{runsBucket, key, value})
}

func (w *write) apply(tx *bolt.Tx) error {
	for _, c := range w.changes {
		b := tx.Bucket(c.bucket)
		err := error(nil)
		if c.value == nil {
			err = b.Delete(c.key)
		} else {
			err = b.Put(c.key, c.value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A writer writes to a database. While it syncs, writes gather, which it then commits
// together.
type writer struct {
	db     *bolt.DB
	keep   time.Duration
	writes chan *write
	quit   chan struct{}
	ended  chan struct{}
	broken atomic.Pointer[error] // why the database must not be used any more
}

func startWriter(db *bolt.DB, keep time.Duration) *writer {
	w := &writer{db: db, keep: keep, writes: make(chan *write), quit: make(chan struct{}), ended: make(chan struct{})}
	go w.loop()
	return w
}

// err returns why the database must not be used any more, or nil.
func (w *writer) err() error {
	if err := w.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// stop stops the writer.
func (w *writer) stop() {
	select {
	case <-w.ended:
	case w.quit <- struct{}{}:
		<-w.ended
	}
}

// write returns when all changes are on the disk.
func (w *writer) write(one *write) error {
	select {
	case w.writes <- one:
		return <-one.done
	case <-w.ended:
		return workflow.ErrClosed
	}
}

func (w *writer) loop() {
	defer close(w.ended)
	prune := time.NewTimer(0)
	defer prune.Stop()
	for {
		select {
		case one := <-w.writes:
			w.commit(w.gather(one))
		case <-prune.C:
			prune.Reset(w.prune())
		case <-w.quit:
			return
		}
	}
}

// gather returns all writes that wait.
func (w *writer) gather(one *write) []*write {
	all := []*write{one}
	runtime.Gosched() // has those ask that have just been answered
	for {
		select {
		case one := <-w.writes:
			all = append(all, one)
		default:
			return all
		}
	}
}

// commit commits writes together, or each by itself if that fails, so that one which is
// too large for what is left of the disk has only itself fail.
func (w *writer) commit(all []*write) {
	err := w.update(all)
	for _, one := range all {
		if err != nil && len(all) > 1 {
			one.done <- w.update([]*write{one})
		} else {
			one.done <- err
		}
	}
}

func (w *writer) update(all []*write) error {
	return w.transact(func(tx *bolt.Tx) error {
		for _, one := range all {
			if err := one.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *writer) transact(do func(tx *bolt.Tx) error) error {
	if err := w.err(); err != nil {
		return err
	}
	err := guard(func() error { return w.db.Update(do) })
	if errors.Is(err, errPanic) {
		w.broken.Store(&err)
	}
	return withoutPath(err)
}

const (
	pruneInterval = time.Hour
	pruneRuns     = 200 // at a time
)

// prune deletes some runs that have ended too long ago, and returns when to go on.
func (w *writer) prune() time.Duration {
	more := false
	err := w.transact(func(tx *bolt.Tx) (err error) {
		more, err = prune(tx, time.Now().Add(-w.keep))
		return err
	})
	if more && err == nil {
		return 0
	}
	return pruneInterval
}

// errNothing has a transaction not be committed.
var errNothing = errors.New("nothing to forget")

func prune(tx *bolt.Tx, before time.Time) (more bool, err error) {
	var old [][]byte
	c := tx.Bucket(finishedBucket).Cursor()
	for key, _ := c.First(); key != nil && len(old) <= pruneRuns; key, _ = c.Next() {
		if _, at, err := cutFinishedKey(key); err != nil || !at.Before(before) {
			break
		}
		old = append(old, bytes.Clone(key))
	}
	if len(old) == 0 {
		return false, errNothing
	}
	more = len(old) > pruneRuns
	for _, key := range old[:min(len(old), pruneRuns)] {
		if err := forget(tx, key); err != nil {
			return false, err
		}
	}
	return more, nil
}

// forget deletes a finished run.
func forget(tx *bolt.Tx, finished []byte) error {
	run, _, err := cutFinishedKey(finished)
	if err != nil {
		return err
	}
	if err := tx.Bucket(finishedBucket).Delete(finished); err != nil {
		return err
	}
	records := tx.Bucket(runsBucket)
	var keys [][]byte
	c, prefix := records.Cursor(), append(bytes.Clone(run), separator)
	for key, _ := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = c.Next() {
		keys = append(keys, bytes.Clone(key))
	}
	for _, key := range keys {
		if err := records.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
