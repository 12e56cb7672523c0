package auth_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// filePath returns the path of a store's file, in a directory of its own.
func filePath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if _, err := auth.NewFileStore(path).Swap(t.Context(), "probe", nil, 1); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system has no file locks: ", err)
	}
	return path
}

func mustSwap(t *testing.T, store auth.Store, key, value string, rev uint64) (next uint64) {
	t.Helper()
	next, err := store.Swap(t.Context(), key, []byte(value), rev)
	if err != nil {
		t.Fatalf("Swap(%q) = %v, want nil", key, err)
	}
	return next
}

func TestAuth29FileStoreFiles(t *testing.T) {
	path := filePath(t)
	if err := os.WriteFile(path+".tmp", []byte("of a process that was killed"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustSwap(t, auth.NewFileStore(path), "orders", "first", 0)
	mustSwap(t, auth.NewFileStore(path), "users", "other", 0)

	value, rev, err := auth.NewFileStore(path).Load(t.Context(), "orders")
	if string(value) != "first" || rev == 0 || err != nil {
		t.Errorf("Load() = %q, %v, %v after reopening, want what was swapped in", value, rev, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.FileMode(0o600); got != want {
		t.Errorf("mode of the file = %v, want %v", got, want)
	}
	var names []string
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"tokens", "tokens.lock"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("files are %q (%v), want %q", names, err, want)
	}
}

func TestAuth29FileStoreNeverStartsAfresh(t *testing.T) {
	const good = `{"version":1,"records":{"orders":{"value":"Q0FOQVJZ","rev":7}}}`
	write := func(text string, mode fs.FileMode) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"empty":          {write("", 0o600), "undamaged"},
		"truncated":      {write(good[:len(good)-9], 0o600), "undamaged"},
		"trailing":       {write(good+"}", 0o600), "undamaged"},
		"not JSON":       {write("CANARY", 0o600), "undamaged"},
		"foreign":        {write(`{"name":"CANARY"}`, 0o600), "want 1"},
		"foreign list":   {write(`["CANARY"]`, 0o600), "undamaged"},
		"null":           {write(`null`, 0o600), "want 1"},
		"later version":  {write(strings.Replace(good, "1", "2", 1), 0o600), "version 2: want 1"},
		"unknown field":  {write(`{"version":1,"CANARY":1,"records":{}}`, 0o600), "undamaged"},
		"no records":     {write(`{"version":1}`, 0o600), "undamaged"},
		"null record":    {write(`{"version":1,"records":{"orders":null}}`, 0o600), "lacks its revision"},
		"no revision":    {write(strings.Replace(good, "7", "0", 1), 0o600), "lacks its revision"},
		"bad revision":   {write(strings.Replace(good, "7", "-7", 1), 0o600), "undamaged"},
		"bad value":      {write(strings.Replace(good, "Q0FOQVJZ", "CANARY!", 1), 0o600), "undamaged"},
		"open to others": {write(good, 0o640), "want -rw-------"},
		"directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "want a regular file"},
		"symbolic link": {func(t *testing.T, path string) {
			if err := os.Symlink(path+".nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, "want a regular file"},
		"no directory": {func(t *testing.T, path string) {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, "want it to exist"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filePath(t)
			tt.prepare(t, path)
			before, _ := os.ReadFile(path)
			store := auth.NewFileStore(path)
			_, _, loadErr := store.Load(t.Context(), "users")
			_, swapErr := store.Swap(t.Context(), "users", []byte("CANARY"), 0)
			for _, err := range []error{loadErr, swapErr} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error = %v, want one that names %s and says %q", err, path, tt.want)
					continue
				}
				if got := policy.ClassOf(err); got != policy.Permanent {
					t.Errorf("class of %q = %v, want %v", err, got, policy.Permanent)
				}
				isClean(t, "error", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
				t.Errorf("the file is %q, want it left as it was", after)
			}
		})
	}
}

func TestAuth29FileStoreNames(t *testing.T) {
	t.Chdir(t.TempDir())
	store := auth.NewFileStore("")
	_, err := store.Swap(t.Context(), "orders", nil, 0)
	if err == nil || store.Validate() == nil {
		t.Errorf("Swap() = %v, Validate() = %v without a path, want errors", err, store.Validate())
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) > 0 {
		t.Errorf("files are %v (%v), want none", entries, err)
	}

	store = auth.NewFileStore(filePath(t))
	_, err = store.Swap(t.Context(), "\xff", nil, 0)
	if err == nil || !strings.Contains(err.Error(), "want UTF-8") {
		t.Errorf("Swap() = %v with a key that is no text, want an error", err)
	}
}

func TestAuth29FileStoreLeavesAQueue(t *testing.T) {
	path := filePath(t)
	held, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if locked, err := auth.TryLock(held); !locked || err != nil {
		t.Fatalf("TryLock() = %v, %v", locked, err)
	}
	synctest.Test(t, func(t *testing.T) {
		store := auth.NewFileStore(path)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		late := time.AfterFunc(time.Minute, func() { _ = held.Close() }) // to say so, if nobody leaves
		defer late.Stop()
		var wg sync.WaitGroup
		for range 3 { // one waits for the file, the others for the one
			wg.Go(func() {
				_, err := store.Swap(ctx, "orders", nil, 0)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
					t.Errorf("Swap() = %v after %v while another has the lock, want the end of the context after 1s", err, took)
				}
			})
		}
		wg.Wait()
		if _, _, err := store.Load(t.Context(), "orders"); err != nil {
			t.Errorf("Load() = %v while another has the lock, want nil", err)
		}
		_ = held.Close()
		mustSwap(t, store, "orders", "first", 0)
	})
}

// A child is another process that uses the same file.
func child(t *testing.T, task, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$") // which kills it when t ends
	cmd.Env = append(os.Environ(), "EVENKEEL_CHILD="+task, "EVENKEEL_CHILD_PATH="+path)
	cmd.Stderr = t.Output()
	return cmd
}

// TestChild is what a child does.
func TestChild(t *testing.T) {
	store := auth.NewFileStore(os.Getenv("EVENKEEL_CHILD_PATH"))
	switch os.Getenv("EVENKEEL_CHILD") {
	case "count":
		for range 20 {
			count(t, store)
		}
	case "count on":
		for t.Context().Err() == nil {
			count(t, store)
		}
	case "lock":
		f, err := os.OpenFile(os.Getenv("EVENKEEL_CHILD_PATH")+".lock", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		locked, err := auth.TryLock(f)
		fmt.Println(locked, err)
		<-t.Context().Done()
	default:
		t.Skip("is run by other tests, in a process of its own")
	}
}

// count adds one to the length of the record.
func count(t *testing.T, store auth.Store) {
	t.Helper()
	for {
		value, rev, err := store.Load(t.Context(), "count")
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Swap(t.Context(), "count", append(value, '+'), rev)
		if err == nil {
			return
		}
		if !errors.Is(err, auth.ErrConflict) {
			t.Fatal(err)
		}
	}
}

func TestAuth29FileStoreOfProcesses(t *testing.T) {
	path := filePath(t)
	var wg sync.WaitGroup
	for range 4 {
		cmd := child(t, "count", path)
		wg.Go(func() {
			if err := cmd.Run(); err != nil {
				t.Errorf("child: %v", err)
			}
		})
	}
	wg.Wait()
	value, _, err := auth.NewFileStore(path).Load(t.Context(), "count")
	if got, want := len(value), 4*20; got != want || err != nil {
		t.Errorf("4 processes counted to %d (%v), want %d", got, err, want)
	}
}

func TestAuth33FileStoreAfterSIGKILL(t *testing.T) {
	path := filePath(t)
	store := auth.NewFileStore(path)
	count := 0
	for i := range 10 {
		cmd := child(t, "count on", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for seen := count; count < seen+3; { // so it is at work
			value, _, err := store.Load(t.Context(), "count")
			if err != nil || len(value) < count || time.Since(start) > 10*time.Second {
				t.Fatalf("Load() = %d, %v, want at least %d, and the child to count on", len(value), err, count)
			}
			count = len(value)
		}
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	mustSwap(t, store, "orders", "first", 0)
}

func TestAuth33FileLockAfterSIGKILL(t *testing.T) {
	path := filePath(t)
	store := auth.NewFileStore(path)
	cmd := child(t, "lock", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if got, want := line, "true <nil>\n"; got != want || err != nil {
		t.Fatalf("child says %q (%v), want %q", got, err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := store.Swap(ctx, "orders", nil, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Swap() = %v while another process has the lock, want %v", err, context.DeadlineExceeded)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	mustSwap(t, store, "orders", "first", 0)
}

func FuzzAuth35Records(f *testing.F) {
	f.Add([]byte(`{"version":1,"records":{"orders":{"value":"Q0FOQVJZ","rev":7}}}`))
	f.Add([]byte(`{"version":1,"records":{"a\ud800":{"value":null,"rev":18446744073709551615}}}`))
	f.Add([]byte(`{"version":1,"records":{}} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := auth.ParseRecords(data)
		if err != nil {
			return
		}
		data, err = auth.FormatRecords(records)
		if err != nil {
			t.Fatalf("FormatRecords() = %v of records that were read", err)
		}
		again, err := auth.ParseRecords(data)
		if err != nil || len(again) != len(records) {
			t.Fatalf("ParseRecords() = %v, %v, want %v", again, err, records)
		}
		for key, r := range records {
			if got := again[key]; !bytes.Equal(got.Value, r.Value) || got.Rev != r.Rev {
				t.Errorf("record %q = %v, want %v", key, got, r)
			}
		}
	})
}
