package authtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func hasNone(t *testing.T, r *replicas) { r.lacks(t, r.key) }

func creates(t *testing.T, r *replicas) {
	rev := swap(t, r.a, r.key, []byte("first"), 0)
	r.holds(t, r.key, []byte("first"), rev)
}

func createsOnce(t *testing.T, r *replicas) {
	rev := swap(t, r.a, r.key, []byte("first"), 0)
	conflicts(t, r.a, r.key, []byte("second"), 0)
	conflicts(t, r.b, r.key, []byte("second"), 0)
	r.holds(t, r.key, []byte("first"), rev)
}

func replaces(t *testing.T, r *replicas) {
	rev := swap(t, r.a, r.key, []byte("first"), 0)
	rev = swap(t, r.a, r.key, []byte("second"), rev)
	r.holds(t, r.key, []byte("second"), rev)
	rev = swap(t, r.b, r.key, []byte("third"), rev)
	r.holds(t, r.key, []byte("third"), rev)
}

func refuses(t *testing.T, r *replicas) {
	stale := swap(t, r.a, r.key, []byte("first"), 0)
	rev := swap(t, r.b, r.key, []byte("second"), stale)
	for name, other := range map[string]uint64{
		"none": 0, "stale": stale, "one less": rev - 1, "one more": rev + 1,
		"without its high bits": rev ^ 1<<40, "beyond 1<<63": rev ^ 1<<63, "greatest": 1<<64 - 1,
	} {
		if other == rev {
			continue
		}
		t.Run(name, func(t *testing.T) {
			conflicts(t, r.a, r.key, []byte("third"), other)
			conflicts(t, r.b, r.key, []byte("third"), other)
			r.holds(t, r.key, []byte("second"), rev)
		})
	}
}

func refusesAbsent(t *testing.T, r *replicas) {
	conflicts(t, r.a, r.key, []byte("first"), 1)
	conflicts(t, r.b, r.key, []byte("first"), 1<<64-1)
	r.lacks(t, r.key)
}

func keepsValues(t *testing.T, r *replicas) {
	bytes256 := make([]byte, 256)
	for i := range bytes256 {
		bytes256[i] = byte(i)
	}
	for name, value := range map[string][]byte{
		"nil":     nil,
		"empty":   {},
		"zero":    {0},
		"binary":  bytes256,
		"no text": []byte("\xff\xfe\xc0\x80 %s ' \" \\ \r\n"),
		"1 MiB":   bytes.Repeat(bytes256, 1<<20/256),
	} {
		t.Run(name, func(t *testing.T) {
			key := r.key + "/" + name
			rev := swap(t, r.a, key, value, 0)
			r.holds(t, key, value, rev)
			rev = swap(t, r.b, key, []byte("other"), rev)
			rev = swap(t, r.b, key, value, rev)
			r.holds(t, key, value, rev)
			swap(t, r.a, key, nil, rev) // so that it slows down nobody from now on
		})
	}
}

// keepsKeys uses keys that are odd, and that a store may take for one another.
func keepsKeys(t *testing.T, r *replicas) {
	long := r.key + "/" + strings.Repeat("long", 200)
	keys := []string{
		r.key, strings.ToLower(r.key), r.key + " ", " " + r.key, r.key + "\n", r.key + "/", r.key + "//", r.key + "/.", "/" + r.key, "../" + r.key,
		r.key + "%", r.key + "_", r.key + "*", r.key + "?", r.key + "{a}", r.key + "{b}", r.key + "'", r.key + `"`, r.key + `\`, r.key + "%20", r.key + "+", r.key + ":",
		r.key + "\u00e9", r.key + "e\u0301", r.key + "\u00c9", r.key + "\u65e5\u672c", r.key + "\U0001f511", r.key + "\u200b",
		long, long + "1", long + "2",
	}
	revs := make(map[string]uint64)
	for _, key := range keys {
		r.lacks(t, key)
		revs[key] = swap(t, r.a, key, []byte("value of "+key), 0)
	}
	for _, key := range keys {
		r.holds(t, key, []byte("value of "+key), revs[key])
	}
}

func keepsNoReference(t *testing.T, r *replicas) {
	value := []byte("first")
	rev := swap(t, r.a, r.key, value, 0)
	copy(value, "xxxxx")
	r.holds(t, r.key, []byte("first"), rev)
}

func givesNoReference(t *testing.T, r *replicas) {
	rev := swap(t, r.a, r.key, []byte("first"), 0)
	value, _ := load(t, r.a, r.key)
	copy(value, "xxxxx")
	r.holds(t, r.key, []byte("first"), rev)
}

// short returns as much of a value as a reader needs.
func short(value []byte) string {
	const limit = 40
	if value == nil {
		return "nil"
	}
	if len(value) > limit {
		return fmt.Sprintf("%q... (%d bytes)", value[:limit], len(value))
	}
	return fmt.Sprintf("%q", value)
}
