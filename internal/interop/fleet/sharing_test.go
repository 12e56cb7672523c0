package fleet_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/evenkeel-go/evenkeel/auth/pgstore"
)

// A sharing is a store that replicas can be cut off from.
type sharing struct {
	kind    string
	where   string
	cut     func(t *testing.T)
	restore func(t *testing.T)
}

// sharings make a store of each kind, for a grant.
var sharings = map[string]func(t *testing.T, grant string) sharing{
	"file":     shareFile,
	"redis":    shareRedis,
	"postgres": sharePostgres,
}

// shareFile shares a file by a path that leads through a symbolic link. To cut it off, that is made to
// point to a plain file, in one step: whatever is tried with the path then fails with ENOTDIR. The
// directory itself remains as it is.
func shareFile(t *testing.T, grant string) sharing {
	t.Helper()
	base := t.TempDir()
	dir, plain, link := filepath.Join(base, "dir"), filepath.Join(base, "plain"), filepath.Join(base, "link")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	point := func(t *testing.T, to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	point(t, dir)
	return sharing{
		kind:    "file",
		where:   filepath.Join(link, grant),
		cut:     func(t *testing.T) { t.Helper(); point(t, plain) },
		restore: func(t *testing.T) { t.Helper(); point(t, dir) },
	}
}

// shareRedis shares a Redis server that is reached by a relay.
func shareRedis(t *testing.T, grant string) sharing {
	t.Helper()
	where := fromEnv(t, "EVENKEEL_REDIS_URL", "a Redis server, such as redis://127.0.0.1:6379/0")
	options, err := redis.ParseURL(where.String())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Del(context.WithoutCancel(t.Context()), "evenkeel:auth:"+grant).Err(); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
	return shareThroughRelay(t, "redis", where)
}

// sharePostgres shares a PostgreSQL server that is reached by a relay.
func sharePostgres(t *testing.T, grant string) sharing {
	t.Helper()
	where := fromEnv(t, "EVENKEEL_POSTGRES_URL", "a PostgreSQL server, such as postgres://user@127.0.0.1:5432/postgres")
	store, closeStore, err := openStore(order{Store: "postgres", Where: where.String(), Grant: grant})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(closeStore)
	table := store.(pgstore.Store)
	if err := table.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := table.Pool.Exec(context.WithoutCancel(t.Context()), "drop table "+pgx.Identifier{grant}.Sanitize())
		if err != nil {
			t.Error(err)
		}
	})
	return shareThroughRelay(t, "postgres", where)
}

func shareThroughRelay(t *testing.T, kind string, where *url.URL) sharing {
	t.Helper()
	r := startRelay(t, where.Host)
	where.Host = r.addr
	return sharing{kind: kind, where: where.String(), cut: r.cut, restore: r.restore}
}

// fromEnv returns the URL of a server that the test needs.
func fromEnv(t *testing.T, name, what string) *url.URL {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		t.Skipf("%s is not set: want the URL of %s", name, what)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
