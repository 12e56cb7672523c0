package journal

import (
	"bytes"
	"context"
	"iter"

	bolt "go.etcd.io/bbolt"

	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// All implements [local.Store]. It reads some runs at a time, as who gets them may take his
// time, or want to write.
func (s *store) All(ctx context.Context) iter.Seq2[*local.Record, error] {
	return func(yield func(*local.Record, error) bool) {
		var c chunk
		for more := true; more; {
			if ctx.Err() != nil {
				yield(&local.Record{}, context.Cause(ctx))
				return
			}
			c.listed = c.listed[:0]
			err := s.view(func(tx *bolt.Tx) (err error) {
				more, err = c.read(tx)
				return err
			})
			for _, l := range c.listed {
				if !yield(l.record, s.named(l.err)) {
					return
				}
			}
			if err != nil {
				yield(&local.Record{}, err)
				return
			}
		}
	}
}

// A chunk has some runs.
type chunk struct {
	listed []listed
	next   []byte // where the next chunk begins
}

type listed struct {
	record *local.Record
	err    error
}

const (
	chunkRuns = 100
	chunkSize = 1 << 20
)

// read reads the next runs, and reports whether there may be more.
func (c *chunk) read(tx *bolt.Tx) (more bool, err error) {
	records := tx.Bucket(runsBucket).Cursor()
	for size := 0; len(c.listed) < chunkRuns && size < chunkSize; {
		key, value := records.Seek(c.next)
		if key == nil {
			return false, nil
		}
		run, _, err := cutRecordKey(key)
		if err != nil {
			return false, err
		}
		c.next = append(bytes.Clone(run), separator+1)
		size += len(value)
		name, err := parseRunKey(run)
		l := listed{&local.Record{Key: name}, err}
		if err == nil {
			l.read(tx)
		}
		c.listed = append(c.listed, l)
	}
	return true, nil
}

func (l *listed) read(tx *bolt.Tx) {
	r, err := load(tx, l.record.Key)
	if err != nil {
		l.err = err
		return
	}
	l.record = r
}
