package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A storeFile is what a [FileStore] writes, as JSON.
type storeFile struct {
	Version int                    `json:"version"`
	Records map[string]storeRecord `json:"records"`
}

const storeFileVersion = 1

func formatRecords(records map[string]storeRecord) ([]byte, error) {
	for key := range records {
		if !utf8.ValidString(key) { // JSON would make it another one
			return nil, permanentf("invalid key %q: want UTF-8", key)
		}
	}
	return json.Marshal(storeFile{storeFileVersion, records})
}

// parseRecords returns what formatRecords was given. Its errors tell nothing of
// the data.
func parseRecords(data []byte) (map[string]storeRecord, error) {
	var head struct{ Version int }
	if json.Unmarshal(data, &head) != nil {
		return nil, permanentf("its %d bytes are not JSON as it was written: want them undamaged", len(data))
	}
	if head.Version != storeFileVersion {
		return nil, permanentf("it has version %d: want %d, or another file", head.Version, storeFileVersion)
	}
	var file storeFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if dec.Decode(&file) != nil || file.Records == nil {
		return nil, permanentf("it does not hold records: want them undamaged")
	}
	for _, r := range file.Records {
		if r.Rev == 0 {
			return nil, permanentf("a record lacks its revision: want it undamaged")
		}
	}
	return file.Records, nil
}

// permanentf returns an error that somebody has to look after.
func permanentf(format string, args ...any) error {
	return policy.WithClass(fmt.Errorf(format, args...), policy.Permanent)
}
