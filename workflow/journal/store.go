package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// A store is a [local.Store] in a file.
type store struct {
	file   *file
	writer *writer
}

func newStore(f *file, keep time.Duration) *store {
	return &store{f, startWriter(f.db, keep)}
}

func (s *store) close() error {
	s.writer.stop()
	return s.file.close(s.writer.err())
}

// view reads from the database. Errors name the file.
func (s *store) view(read func(tx *bolt.Tx) error) error {
	err := s.writer.err()
	if err == nil {
		err = guard(func() error { return s.file.db.View(read) })
	}
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return workflow.ErrClosed
	}
	return s.named(err)
}

func (s *store) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal: %s: %w", s.file.path, err)
}

// Load implements [local.Store].
func (s *store) Load(key local.Key) (r *local.Record, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		r, err = load(tx, key)
		return err
	})
	return r, err
}

func load(tx *bolt.Tx, key local.Key) (*local.Record, error) {
	run, records := runKey(key), tx.Bucket(runsBucket)
	count := tx.Bucket(unfinishedBucket).Get(run)
	r := &local.Record{Key: key}
	begun, err := get(records, run, beginNumber, &r.Begin)
	if err != nil {
		return nil, err
	}
	if !begun {
		if count != nil || hasRecords(records, run) {
			return nil, fmt.Errorf("%w: the begin is missing", ErrDamaged)
		}
		return nil, nil
	}
	var end local.End
	switch ended, err := get(records, run, endNumber, &end); {
	case err != nil:
		return nil, err
	case ended:
		r.End = &end
		return r, nil
	case len(count) != 4:
		return nil, fmt.Errorf("%w: the end is missing", ErrDamaged)
	}
	for n := range binary.BigEndian.Uint32(count) {
		var e local.Entry
		found, err := get(records, run, n+1, &e)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("%w: entry %d is missing", ErrDamaged, n+1)
		}
		r.Entries = append(r.Entries, e)
	}
	return r, nil
}

// get reads a record of a run, if there is one.
func get(records *bolt.Bucket, run []byte, number uint32, record any) (found bool, err error) {
	key := recordKey(run, number)
	value := records.Get(key)
	if value == nil {
		return false, nil
	}
	return true, decode(key, value, record)
}

func hasRecords(records *bolt.Bucket, run []byte) bool {
	key, _ := records.Cursor().Seek(recordKey(run, 0))
	return bytes.HasPrefix(key, append(bytes.Clone(run), separator))
}

// Save implements [local.Store].
func (s *store) Save(r *local.Record, from int) error {
	w := &write{done: make(chan error, 1)}
	run := runKey(r.Key)
	if from == 0 {
		w.put(run, beginNumber, r.Begin)
	}
	for n := max(from, 1); n <= len(r.Entries); n++ {
		w.put(run, uint32(n), r.Entries[n-1])
	}
	if r.End == nil {
		count := binary.BigEndian.AppendUint32(nil, uint32(len(r.Entries)))
		w.changes = append(w.changes, change{unfinishedBucket, run, count})
	} else {
		w.put(run, endNumber, r.End)
		w.changes = append(w.changes, change{unfinishedBucket, run, nil}, change{finishedBucket, finishedKey(run, r.End.At), []byte{}})
	}
	if w.err != nil {
		return w.err
	}
	return s.named(s.writer.write(w))
}

// Unfinished implements [local.Store].
func (s *store) Unfinished() iter.Seq2[local.Key, error] {
	return func(yield func(local.Key, error) bool) {
		var runs [][]byte
		err := s.view(func(tx *bolt.Tx) error {
			return tx.Bucket(unfinishedBucket).ForEach(func(run, _ []byte) error {
				runs = append(runs, bytes.Clone(run))
				return nil
			})
		})
		if err != nil {
			yield(local.Key{}, err)
			return
		}
		for _, run := range runs {
			key, err := parseRunKey(run)
			if !yield(key, s.named(err)) {
				return
			}
		}
	}
}
