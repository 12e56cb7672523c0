package journal_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
)

const (
	intactRuns = 120
	halfRuns   = 30 // of them, those that are not finished
)

// halfway is a flow whose second step lasts until the engine is closed, of the runs with the
// first inputs, unless it is healthy. It counts what it does by run.
type halfway struct {
	healthy      atomic.Bool
	under        sync.WaitGroup // of the second step, where it lasts
	first, other [intactRuns]atomic.Int32
}

func (h *halfway) flow() workflow.Flow[int, int] {
	first := workflow.NewStep("first", nil, func(_ context.Context, n int) (int, error) {
		h.first[n].Add(1)
		return n, nil
	})
	other := workflow.NewStep("other", nil, func(ctx context.Context, n int) (int, error) {
		h.other[n].Add(1)
		if n < halfRuns && !h.healthy.Load() {
			h.under.Done()
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return 2 * n, nil
	})
	return workflow.NewFlow("halfway", func(r workflow.Run, n int) (int, error) {
		n, err := first.Do(r, n)
		if err != nil {
			return 0, err
		}
		return other.Do(r, n)
	}, first, other)
}

func runID(n int) string { return fmt.Sprintf("order-%d-%s", n, strings.Repeat("x", 100)) }

// intact returns a file with runs that are finished, and some that are not.
func intact(t *testing.T) []byte {
	t.Helper()
	var h halfway
	path, flow := newPath(t), h.flow()
	e := open(t, path, journal.Config{}, flow)
	h.under.Add(halfRuns)
	var callers sync.WaitGroup
	for n := range intactRuns {
		callers.Go(func() { _, _ = flow.Run(t.Context(), e, runID(n), n) })
	}
	h.under.Wait()
	for n := halfRuns; n < intactRuns; n++ {
		wants(t, e, flow, runID(n), n, 2*n)
	}
	e.Close()
	callers.Wait()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// A damaged file is reported with its path, by Open or by those who meet the damage.
// Nothing is taken for what it is not: a run has its result, or an error, and no step is
// carried out whose result was recorded.
func TestDamageIsReported(t *testing.T) {
	file := intact(t)
	for _, damage := range []struct {
		name   string
		trials int
		do     func(file []byte) []byte
	}{
		{"none", 1, func(file []byte) []byte { return file }},
		{"a bit", 100, func(file []byte) []byte {
			file[rand.N(len(file))] ^= 1 << rand.N(8)
			return file
		}},
		{"a byte at the beginning of a page", 100, func(file []byte) []byte {
			page := rand.N(len(file) / os.Getpagesize())
			file[page*os.Getpagesize()+rand.N(96)] ^= byte(1 + rand.N(255))
			return file
		}},
		{"a sector of zeros", 30, func(file []byte) []byte {
			clear(file[rand.N(len(file)/512)*512:][:512])
			return file
		}},
		{"a sector of another place", 30, func(file []byte) []byte {
			copy(file[rand.N(len(file)/512)*512:][:512], file[rand.N(len(file)/512)*512:])
			return file
		}},
		{"a missing end", 30, func(file []byte) []byte { return file[:rand.N(len(file))] }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			var seen tally
			for range damage.trials {
				if !seen.examine(t, damage.do(bytes.Clone(file))) {
					return
				}
			}
			t.Logf("%+v", seen)
			if damage.name != "none" && seen.Refused+seen.Reported == 0 {
				t.Error("no damage was noticed")
			}
		})
	}
}

// A tally counts what became of damaged files.
type tally struct {
	Refused  int // by Open
	Reported int // otherwise
	Harmless int
}

// examine reports whether all is right, or not right but reported.
func (c *tally) examine(t *testing.T, file []byte) bool {
	path := newPath(t)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	keep := func() {
		if t.Failed() {
			_ = os.WriteFile(filepath.Join(os.TempDir(), "damaged.db"), file, 0o600)
		}
	}
	defer keep()
	reported := func(what string, err error) {
		if !strings.Contains(err.Error(), path) || !errors.Is(err, journal.ErrDamaged) && !strings.Contains(err.Error(), "invalid format") {
			t.Errorf("%s = %v, want an error that names the file and matches ErrDamaged", what, err)
		}
	}
	e, err := journal.Open(path, journal.Config{})
	if err != nil {
		c.Refused++
		reported("Open()", err)
		return !t.Failed()
	}
	defer e.Close()
	harmless := true
	listed := 0
	for s, err := range e.Runs(t.Context()) {
		if listed++; err != nil {
			harmless = false
			reported("Runs()", err)
			if s.ID != "" && !strings.Contains(err.Error(), fmt.Sprintf("run %q of %q", s.ID, s.Flow)) {
				t.Errorf("Runs() = %v, want an error that names the run", err)
			}
		}
	}
	if harmless && listed != intactRuns {
		t.Errorf("%d runs are listed, and no error, want %d", listed, intactRuns)
	}
	h := new(halfway)
	h.healthy.Store(true)
	flow := h.flow()
	if err := flow.On(e); err != nil {
		t.Fatal(err)
	}
	if err := e.Resume(t.Context()); err != nil {
		harmless = false
		reported("Resume()", err)
	}
	for n := range intactRuns {
		got, err := flow.Run(t.Context(), e, runID(n), n)
		if err != nil {
			harmless = false
			reported("Run()", err)
		} else if got != 2*n {
			t.Errorf("Run(%d) = %d, want %d", n, got, 2*n)
		}
		if first, other := h.first[n].Load(), h.other[n].Load(); first > 0 || other > 1 || n >= halfRuns && other > 0 {
			t.Errorf("run %d has carried out its steps %d and %d times, and ends with %v, want nothing that is recorded", n, first, other, err)
		}
	}
	if harmless {
		c.Harmless++
	} else {
		c.Reported++
	}
	return !t.Failed()
}

// One damaged record is no harm to other runs.
func TestDamagedRecordIsOnlyThatRuns(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, intact(t), 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bolt.Tx) error {
		runs := tx.Bucket([]byte("runs"))
		for _, n := range []int{1, halfRuns + 1} {
			key := []byte("halfway/" + runID(n) + "\x00\x00\x00\x00\x00")
			value := bytes.Clone(runs.Get(key))
			value[len(value)-10] ^= 1
			if err := runs.Put(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	h := new(halfway)
	h.healthy.Store(true)
	flow := h.flow()
	e := open(t, path, journal.Config{}, flow)
	err := e.Resume(t.Context())
	want := fmt.Sprintf("run %q of \"halfway\": journal: %s: damaged, or not a journal: the checksum of a record is wrong", runID(1), path)
	if err == nil || err.Error() != want {
		t.Errorf("Resume() = %v, want %s", err, want)
	}
	damaged := 0
	for s, err := range e.Runs(t.Context()) {
		if err != nil {
			damaged++
			if s.State != workflow.Stuck || s.ID != runID(1) && s.ID != runID(halfRuns+1) || !errors.Is(s.Err, journal.ErrDamaged) {
				t.Errorf("Runs() = %+v, %v, want the damaged ones to be stuck", s, err)
			}
		}
	}
	if damaged != 2 {
		t.Errorf("%d runs are damaged, want 2", damaged)
	}
	for n := range intactRuns {
		got, err := flow.Run(t.Context(), e, runID(n), n)
		if isDamaged := n == 1 || n == halfRuns+1; isDamaged != errors.Is(err, journal.ErrDamaged) || !isDamaged && got != 2*n {
			t.Errorf("Run(%d) = %d, %v, want %d, or ErrDamaged for the damaged ones", n, got, err, 2*n)
		}
	}
}

// What is missing is noticed, although the database does not know that there was something.
func TestMissingRecordsAreReported(t *testing.T) {
	file := intact(t)
	begin := func(n int) []byte { return []byte("halfway/" + runID(n) + "\x00\x00\x00\x00\x00") }
	first := func(n int) []byte { return []byte("halfway/" + runID(n) + "\x00\x00\x00\x00\x01") }
	other := func(n int) []byte { return []byte("halfway/" + runID(n) + "\x00\x00\x00\x00\x02") }
	end := func(n int) []byte { return []byte("halfway/" + runID(n) + "\x00\xff\xff\xff\xff") }
	for _, tt := range []struct {
		bucket string
		key    []byte
		want   string
	}{
		{"runs", begin(1), fmt.Sprintf(`run %q of "halfway": damaged, or not a journal: its begin is missing`, runID(1))},
		{"runs", first(1), "entry 1 is missing"},
		{"runs", other(1), "it has 1 entries, which is not what is known of it"},
		{"runs", first(halfRuns), "entry 1 is missing"},
		{"runs", end(halfRuns), "entries, which is not what is known of it"},
		{"unfinished", begin(1)[:len(begin(1))-5], "entries, which is not what is known of it"},
		{"meta", []byte("format"), `invalid format ""`},
	} {
		path := newPath(t)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(tt.bucket))
			if b.Get(tt.key) == nil {
				t.Fatalf("there is no %q in %s", tt.key, tt.bucket)
			}
			return b.Delete(tt.key)
		})
		if _, err := journal.Open(path, journal.Config{}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open() without %s of %s = %v, want %s", tt.key, tt.bucket, err, tt.want)
		}
	}
}

// What the database would not notice before it has overwritten something.
func TestPagesThatAreUsedTwiceAreReported(t *testing.T) {
	file, size := intact(t), os.Getpagesize()
	number := binary.NativeEndian
	newest := file[16:]
	if other := file[size+16:]; number.Uint64(other[48:]) > number.Uint64(newest[48:]) {
		newest = other
	}
	root, free := number.Uint64(newest[16:]), int(number.Uint64(newest[32:]))
	refused := func(file []byte) error {
		path := newPath(t)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := journal.Open(path, journal.Config{})
		if err == nil {
			e.Close()
		}
		return err
	}

	damaged := bytes.Clone(file)
	list := damaged[free*size:]
	number.PutUint16(list[10:], max(1, number.Uint16(list[10:])))
	number.PutUint64(list[16:], root)
	if err := refused(damaged); err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf("page %d is said to be free", root)) {
		t.Errorf("Open() = %v, want that page %d is said to be free", err, root)
	}

	var errs []error
	for page := 2; page < len(file)/size; page++ {
		damaged := bytes.Clone(file)
		if flags := number.Uint16(damaged[page*size+8:]); flags == 1 || flags == 2 {
			number.PutUint32(damaged[page*size+12:], 1) // It reaches into the next one.
			errs = append(errs, refused(damaged))
		}
	}
	if err := errors.Join(errs...); err == nil || !strings.Contains(err.Error(), "it is used twice") {
		t.Errorf("Open() = %v, want that pages are used twice", err)
	}
}

// Names that are written in another way than they should be are not found again.
func TestOddKeysAreReported(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, intact(t), 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bolt.Tx) error {
		key := []byte("halfway/%6frder\x00\x00\x00\x00\x00")
		index := []byte("\x00\x00\x00\x00\x00\x00\x00\x01halfway/%6frder")
		end := []byte("halfway/%6frder\x00\xff\xff\xff\xff")
		runs := tx.Bucket([]byte("runs"))
		return errors.Join(runs.Put(key, key), runs.Put(end, end), tx.Bucket([]byte("finished")).Put(index, nil))
	})
	e := open(t, path, journal.Config{})
	var odd error
	for _, err := range e.Runs(t.Context()) {
		odd = errors.Join(odd, err)
	}
	if !errors.Is(odd, journal.ErrDamaged) || !strings.Contains(odd.Error(), `a run has key "halfway/%6frder"`) {
		t.Errorf("Runs() = %v, want that a run has a key that it should not have", odd)
	}
}
