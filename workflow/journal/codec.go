package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow/internal/local"
)

// The records of a run stand one after the other: its begin, entries by their ordinals, and
// its end. The key of each is that of the run, a separator, and a number.
const (
	beginNumber = 0
	endNumber   = math.MaxUint32

	separator  = 0x00
	suffixSize = 1 + 4
)

// runKey returns what the keys of a run begin with. It has neither separators nor bytes
// that are less than those.
func runKey(key local.Key) []byte {
	return []byte(url.PathEscape(key.Flow) + "/" + url.PathEscape(key.ID))
}

func parseRunKey(run []byte) (local.Key, error) {
	flow, id, ok := strings.Cut(string(run), "/")
	name, err1 := url.PathUnescape(flow)
	value, err2 := url.PathUnescape(id)
	key := local.Key{Flow: name, ID: value}
	if !ok || err1 != nil || err2 != nil || !bytes.Equal(runKey(key), run) {
		return local.Key{}, fmt.Errorf("%w: a run has key %.300q", ErrDamaged, run)
	}
	return key, nil
}

// recordKey returns the key of a record of a run.
func recordKey(run []byte, number uint32) []byte {
	key := make([]byte, 0, len(run)+suffixSize)
	key = append(append(key, run...), separator)
	return binary.BigEndian.AppendUint32(key, number)
}

// cutRecordKey is the inverse of recordKey.
func cutRecordKey(key []byte) (run []byte, number uint32, err error) {
	n := len(key) - suffixSize
	if n < 0 || key[n] != separator {
		return nil, 0, fmt.Errorf("%w: a record has key %.300q", ErrDamaged, key)
	}
	return key[:n], binary.BigEndian.Uint32(key[n+1:]), nil
}

// finishedKey returns the key of a run among those that have ended, by when it did.
func finishedKey(run []byte, at time.Time) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())), run...)
}

// cutFinishedKey is the inverse of finishedKey.
func cutFinishedKey(key []byte) (run []byte, at time.Time, err error) {
	if len(key) < 8 {
		return nil, at, fmt.Errorf("%w: a finished run has key %q", ErrDamaged, key)
	}
	return key[8:], time.Unix(0, int64(binary.BigEndian.Uint64(key))), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns that of a record, its key included, so that it is not taken for another.
func checksum(key, text []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, text)
}

// encode returns a record as JSON behind its checksum. JSON in it is not altered.
func encode(key []byte, record any) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 4))
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(record); err != nil {
		return nil, err
	}
	value := b.Bytes()
	binary.BigEndian.PutUint32(value, checksum(key, value[4:]))
	return value, nil
}

// decode is the inverse of encode. It keeps no reference to value.
func decode(key, value []byte, record any) error {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return fmt.Errorf("%w: the checksum of a record is wrong", ErrDamaged)
	}
	if err := json.Unmarshal(value[4:], record); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}
