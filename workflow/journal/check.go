package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// check checks that the file is a journal, and that nothing in it is missing. What is in
// the records is checked when they are read.
func (f *file) check() error {
	info, err := f.os.Stat()
	if err != nil {
		return err
	}
	if err := checkPages(f.os, info.Size(), f.db.Info().PageSize); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return f.db.View(func(tx *bolt.Tx) error {
		if err := checkFormat(tx); err != nil {
			return err
		}
		return checkRuns(tx)
	})
}

func checkFormat(tx *bolt.Tx) error {
	for _, name := range [][]byte{metaBucket, runsBucket, unfinishedBucket, finishedBucket} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: it has no bucket %s", ErrDamaged, name)
		}
	}
	if got := tx.Bucket(metaBucket).Get(formatKey); string(got) != format {
		return fmt.Errorf("invalid format %.40q: want %q, by another version of this package perhaps", got, format)
	}
	return nil
}

// checkRuns checks that no record is missing, by what is known twice: runs have as many
// entries as they should, and are finished if they should be.
func checkRuns(tx *bolt.Tx) error {
	var c counter
	if err := c.countRecords(tx); err != nil {
		return err
	}
	unfinished, err := countKeys(tx.Bucket(unfinishedBucket), func([]byte) error { return nil })
	if err != nil {
		return err
	}
	records := tx.Bucket(runsBucket)
	finished, err := countKeys(tx.Bucket(finishedBucket), func(key []byte) error {
		run, _, err := cutFinishedKey(key)
		if err == nil && records.Get(recordKey(run, endNumber)) == nil {
			err = damagedRun(run, "its end is missing")
		}
		return err
	})
	if err != nil {
		return err
	}
	if unfinished != c.unfinished || finished != c.finished {
		return fmt.Errorf("%w: there are records of %d runs that are not finished and %d that are, want %d and %d",
			ErrDamaged, c.unfinished, c.finished, unfinished, finished)
	}
	return nil
}

func countKeys(b *bolt.Bucket, check func(key []byte) error) (n int, err error) {
	err = b.ForEach(func(key, _ []byte) error {
		n++
		return check(key)
	})
	return n, err
}

// A counter goes through records, in their order, and counts runs.
type counter struct {
	finished, unfinished int

	run     []byte
	entries uint32 // of run, so far
	ended   bool
}

func (c *counter) countRecords(tx *bolt.Tx) error {
	index := tx.Bucket(unfinishedBucket)
	err := tx.Bucket(runsBucket).ForEach(func(key, _ []byte) error {
		run, number, err := cutRecordKey(key)
		if err != nil {
			return err
		}
		if !bytes.Equal(run, c.run) {
			if err := c.endRun(index); err != nil {
				return err
			}
			*c = counter{finished: c.finished, unfinished: c.unfinished, run: run}
			if number != beginNumber {
				return damagedRun(run, "its begin is missing")
			}
			return nil
		}
		switch number {
		case endNumber:
			c.ended = true
			return nil
		case c.entries + 1:
			c.entries++
			return nil
		default:
			return damagedRun(run, fmt.Sprintf("entry %d is missing", c.entries+1))
		}
	})
	if err != nil {
		return err
	}
	return c.endRun(index)
}

// endRun is called after the records of a run.
func (c *counter) endRun(index *bolt.Bucket) error {
	switch {
	case c.run == nil:
		return nil
	case c.ended:
		c.finished++
		return nil
	}
	c.unfinished++
	count := index.Get(c.run)
	if len(count) != 4 || binary.BigEndian.Uint32(count) != c.entries {
		return damagedRun(c.run, fmt.Sprintf("it has %d entries, which is not what is known of it", c.entries))
	}
	return nil
}

func damagedRun(run []byte, text string) error {
	key, err := parseRunKey(run)
	if err != nil {
		return err
	}
	return fmt.Errorf("run %q of %q: %w: %s", key.ID, key.Flow, ErrDamaged, text)
}
