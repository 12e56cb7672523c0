package pgstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/authtest"
	"github.com/evenkeel-go/evenkeel/auth/pgstore"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a pool of connections to the real server that the tests need.
func connect(t *testing.T) *pgxpool.Pool {
	t.Helper()
	url := os.Getenv("EVENKEEL_POSTGRES_URL")
	if url == "" {
		t.Skip("EVENKEEL_POSTGRES_URL is not set: want that of a PostgreSQL database, such as postgres://postgres@127.0.0.1:5432/postgres")
	}
	return dial(t, url)
}

func dial(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// newTable returns the name of a table that is dropped when t ends.
func newTable(t *testing.T) string {
	t.Helper()
	table := "evenkeel_test_" + strings.ToLower(rand.Text())
	pool := connect(t)
	t.Cleanup(func() {
		if _, err := pool.Exec(context.WithoutCancel(t.Context()), "drop table if exists "+table); err != nil {
			t.Error(err)
		}
	})
	return table
}

// newStore returns a store with a table of its own.
func newStore(t *testing.T) pgstore.Store {
	t.Helper()
	store := pgstore.Store{Table: newTable(t), Pool: connect(t)}
	if err := store.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

func ExampleStore() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "postgres://db.example.com/orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	store := pgstore.Store{Pool: pool}
	if err := store.CreateTable(ctx); err != nil {
		fmt.Println(err)
	}
}

func TestAuth29Postgres(t *testing.T) {
	table := newStore(t).Table
	authtest.Store(t, func(t *testing.T) auth.Store {
		return pgstore.Store{Pool: connect(t), Table: table}
	})
}

func TestAuth29PostgresTable(t *testing.T) {
	store := pgstore.Store{Table: "public." + newTable(t), Pool: connect(t)}
	_, _, err := store.Load(t.Context(), "orders")
	if err == nil || !strings.Contains(err.Error(), "want CreateTable") {
		t.Errorf("Load() = %v without a table, want an error that says so", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := store.CreateTable(t.Context()); err != nil {
				t.Errorf("CreateTable() = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	if _, err := store.Swap(t.Context(), "orders", []byte("first"), 0); err != nil {
		t.Errorf("Swap() = %v, want nil", err)
	}
	if err := (pgstore.Store{}).Validate(); err == nil {
		t.Error("Validate() = nil without a Pool, want an error")
	}
}

// A server whose errors repeat what it was sent.
func TestAuth40PostgresErrors(t *testing.T) {
	store := newStore(t)
	_, err := store.Pool.Exec(t.Context(), fmt.Sprintf(`alter table %s add check (value <> 'CANARY')`, store.Table))
	if err != nil {
		t.Fatal(err)
	}
	_, refused := store.Swap(t.Context(), "orders", []byte("CANARY"), 0)
	_, invalid := store.Swap(t.Context(), "CANARY\xff", []byte("first"), 0)
	_, zero := store.Swap(t.Context(), "CANARY\x00", []byte("first"), 0)
	for err, want := range map[error]string{refused: "23514", invalid: "22021", zero: "22021"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with SQLSTATE %s", err, want)
		}
		for ; err != nil; err = errors.Unwrap(err) {
			if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "CANARY") || strings.Contains(text, "43414e415259") {
				t.Errorf("the error %s tells what was sent", text)
			}
		}
	}
}

// Another transaction has the record locked.
func TestAuth05PostgresLocked(t *testing.T) {
	store := newStore(t)
	rev, err := store.Swap(t.Context(), "orders", []byte("first"), 0)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := store.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "select * from "+store.Table+" for update"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = store.Swap(ctx, "orders", []byte("second"), rev)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
		t.Errorf("Swap() = %v after %v, want %v after 50ms", err, took, context.DeadlineExceeded)
	}
}

func TestAuth05PostgresHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	store := pgstore.Store{Pool: dial(t, "postgres://user:CANARY@"+listener.Addr().String()+"/db?sslmode=disable")}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = store.Swap(ctx, "orders", []byte("first"), 0)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
		t.Errorf("Swap() = %v after %v, want %v after 50ms", err, took, context.DeadlineExceeded)
	}
}

func TestAuth34PostgresDown(t *testing.T) {
	store := pgstore.Store{Pool: dial(t, "postgres://user:CANARY@127.0.0.1:1/db?sslmode=disable")}
	_, _, err := store.Load(t.Context(), "orders")
	if err == nil || policy.ClassOf(err) != policy.NotSent || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("Load() = %v, want an error of class %v without the password", err, policy.NotSent)
	}
}
