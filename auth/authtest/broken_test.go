package authtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/authtest"
)

// A store is a good one whose methods can be broken.
type store struct {
	auth.Store
	load func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error)
	swap func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error)
}

func (s store) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if s.load == nil {
		return s.Store.Load(ctx, key)
	}
	return s.load(ctx, s.Store, key)
}

func (s store) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if s.swap == nil {
		return s.Store.Swap(ctx, key, value, rev)
	}
	return s.swap(ctx, s.Store, key, value, rev)
}

// A hoard keeps values, and gives them out, without a copy if it is so told.
type hoard struct {
	keeps, gives bool

	mu      sync.Mutex
	rev     uint64
	records map[string][]byte
	revs    map[string]uint64
	next    func(last uint64, value []byte) uint64
}

func (h *hoard) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value := h.records[key]
	if !h.gives {
		value = bytes.Clone(value)
	}
	return value, h.revs[key], ctx.Err()
}

func (h *hoard) Swap(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case h.revs[key] != rev:
		return 0, auth.ErrConflict
	case h.records == nil:
		h.records, h.revs = make(map[string][]byte), make(map[string]uint64)
	}
	if !h.keeps {
		value = bytes.Clone(value)
	}
	h.rev++
	if h.next != nil {
		h.rev = h.next(h.rev-1, value)
	}
	h.records[key], h.revs[key] = value, h.rev
	return h.rev, nil
}

func current(ctx context.Context, s auth.Store, key string) uint64 {
	_, rev, _ := s.Load(ctx, key)
	return rev
}

// broken holds stores that break the contract, by what they do.
var broken = map[string]struct {
	store auth.Store
	want  string // the test that finds it
}{
	"has an error for what is not there": {store{load: func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
		value, rev, err := s.Load(ctx, key)
		if rev == 0 && err == nil {
			err = errors.New("not found")
		}
		return value, rev, err
	}}, "has_no_record_at_first"},
	"has something for what is not there": {store{load: func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
		value, rev, err := s.Load(ctx, key)
		return append([]byte{}, value...), rev, err
	}}, "has_no_record_at_first"},
	"returns the old revision": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		if _, err := s.Swap(ctx, key, value, rev); err != nil {
			return 0, err
		}
		return rev, nil
	}}, "creates_a_record"},
	"never reads again": {store{load: cached}, "replaces_the_record"},
	"creates over what is there": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		if rev == 0 {
			rev = current(ctx, s, key)
		}
		return s.Swap(ctx, key, value, rev)
	}}, "creates_a_record_once"},
	"lets the last one win": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		if rev != 0 {
			rev = current(ctx, s, key)
		}
		return s.Swap(ctx, key, value, rev)
	}}, "refuses_other_revisions"},
	"compares half of a revision": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		if is := current(ctx, s, key); uint32(is) == uint32(rev) && rev != 0 {
			rev = is
		}
		return s.Swap(ctx, key, value, rev)
	}}, "refuses_other_revisions"},
	"updates what is not there": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		if current(ctx, s, key) == 0 {
			rev = 0
		}
		return s.Swap(ctx, key, value, rev)
	}}, "refuses_to_replace_what_is_not_there"},
	"has an error of its own for a conflict": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		next, err := s.Swap(ctx, key, value, rev)
		if errors.Is(err, auth.ErrConflict) {
			err = errors.New("conflict")
		}
		return next, err
	}}, "refuses_other_revisions"},
	"writes in spite of a conflict": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		next, err := s.Swap(ctx, key, value, rev)
		if errors.Is(err, auth.ErrConflict) {
			_, _ = s.Swap(ctx, key, value, current(ctx, s, key))
		}
		return next, err
	}}, "creates_a_record_once"},
	"takes empty for absent": {store{load: func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
		value, rev, err := s.Load(ctx, key)
		if len(value) == 0 {
			return nil, 0, err
		}
		return value, rev, err
	}}, "keeps_values_as_they_are/empty"},
	"keeps text only": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		return s.Swap(ctx, key, bytes.ToValidUTF8(value, nil), rev)
	}}, "keeps_values_as_they_are/binary"},
	"keeps 64 KiB": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		return s.Swap(ctx, key, value[:min(len(value), 1<<16)], rev)
	}}, "keeps_values_as_they_are/1_MiB"},
	"folds the case of keys":      {byKey(strings.ToLower), "keeps_keys_apart"},
	"trims keys":                  {byKey(strings.TrimSpace), "keeps_keys_apart"},
	"cuts off keys":               {byKey(func(key string) string { return key[:min(len(key), 255)] }), "keeps_keys_apart"},
	"keeps a reference":           {&hoard{keeps: true}, "keeps_no_reference"},
	"gives out a reference":       {&hoard{gives: true}, "gives_out_no_reference"},
	"has few revisions":           {&hoard{next: func(last uint64, _ []byte) uint64 { return last%64 + 1 }}, "never_repeats_a_revision"},
	"has hashes for revisions":    {&hoard{next: hash}, "never_repeats_a_revision"},
	"compares, and writes later":  {store{swap: late}, "loses_no_update"},
	"lets several win":            {store{swap: late}, "has_one_winner"},
	"heeds no context in writing": {store{swap: unheeding}, "heeds_a_context_that_has_ended"},
	"heeds no context in reading": {store{load: func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
		return s.Load(context.WithoutCancel(ctx), key)
	}}, "heeds_a_context_that_has_ended"},
	"writes first": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		next, err := unheeding(ctx, s, key, value, rev)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return next, err
	}}, "heeds_a_context_that_has_ended"},
	"goes on": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		next, err := s.Swap(ctx, key, value, rev)
		if ctx.Err() != nil {
			time.Sleep(3 * time.Second)
		}
		return next, err
	}}, "its context has ended"},
	"tells values": {store{swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
		next, err := s.Swap(ctx, key, value, rev)
		if err != nil {
			err = fmt.Errorf("%w: %x", err, value)
		}
		return next, err
	}}, "tells_no_value"},
}

// late writes what is no longer true.
func late(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
	if current(ctx, s, key) != rev {
		return 0, auth.ErrConflict
	}
	time.Sleep(time.Millisecond)
	return s.Swap(ctx, key, value, current(ctx, s, key))
}

func unheeding(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
	return s.Swap(context.WithoutCancel(ctx), key, value, rev)
}

func hash(_ uint64, value []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(value)
	return h.Sum64()
}

// cached has what it read first.
func cached(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
	type record struct {
		value []byte
		rev   uint64
	}
	r, ok := cache.Load(key)
	if !ok {
		value, rev, err := s.Load(ctx, key)
		if rev == 0 || err != nil {
			return value, rev, err
		}
		r = record{value, rev}
		cache.Store(key, r)
	}
	return bytes.Clone(r.(record).value), r.(record).rev, nil
}

var cache sync.Map

// byKey returns a store that changes keys.
func byKey(change func(string) string) store {
	return store{
		load: func(ctx context.Context, s auth.Store, key string) ([]byte, uint64, error) {
			return s.Load(ctx, change(key))
		},
		swap: func(ctx context.Context, s auth.Store, key string, value []byte, rev uint64) (uint64, error) {
			return s.Swap(ctx, change(key), value, rev)
		},
	}
}

const selected = "EVENKEEL_AUTHTEST_BROKEN"

func TestFindsWhatIsBroken(t *testing.T) {
	for name, tt := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finds(t, name, tt.want)
		})
	}
	t.Run("shares nothing", func(t *testing.T) { finds(t, "shares nothing", "another replica") })
}

// finds runs the suite in a process of its own, where it is to fail.
func finds(t *testing.T, name, want string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), selected+"="+name)
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil && strings.Contains(line, want) && !strings.Contains(line, "panic") {
			return
		}
	}
	t.Errorf("suite ended with %v, want it to fail and to say %q:\n%s", err, want, out)
}

// TestBroken runs in a process of its own, where it fails.
func TestBroken(t *testing.T) {
	name := os.Getenv(selected)
	tt, ok := broken[name]
	switch {
	case name == "":
		t.Skip("is run by TestFindsWhatIsBroken")
	case !ok:
		authtest.Store(t, func(*testing.T) auth.Store { return new(auth.MemoryStore) })
	default:
		s, ok := tt.store.(store)
		if !ok {
			authtest.Store(t, func(*testing.T) auth.Store { return tt.store })
			return
		}
		s.Store = new(auth.MemoryStore)
		authtest.Store(t, func(*testing.T) auth.Store { return s })
	}
}

// TestHoard checks that what is broken above is broken on purpose.
func TestHoard(t *testing.T) {
	h := new(hoard)
	authtest.Store(t, func(*testing.T) auth.Store { return h })
}

func TestStore(t *testing.T) {
	s := store{Store: new(auth.MemoryStore)}
	authtest.Store(t, func(*testing.T) auth.Store { return s })
}
