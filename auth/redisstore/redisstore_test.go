package redisstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/authtest"
	"github.com/evenkeel-go/evenkeel/auth/redisstore"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect returns a client of the real server that the tests need.
func connect(t *testing.T, change func(*redis.Options)) *redis.Client {
	t.Helper()
	url := os.Getenv("EVENKEEL_REDIS_URL")
	if url == "" {
		t.Skip("EVENKEEL_REDIS_URL is not set: want that of a Redis server, such as redis://127.0.0.1:6379/0")
	}
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(options)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newPrefix returns a prefix of keys that are deleted when t ends.
func newPrefix(t *testing.T) string {
	t.Helper()
	prefix := "evenkeel-test:" + rand.Text() + ":"
	client := connect(t, nil)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		keys := client.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			client.Del(ctx, keys.Val())
		}
		if err := keys.Err(); err != nil {
			t.Error(err)
		}
	})
	return prefix
}

func ExampleStore() {
	client := redis.NewClient(&redis.Options{Addr: "redis.example.com:6379"})
	defer client.Close()
	var store auth.Store = redisstore.Store{Client: client}
	_ = store
}

func TestAuth29Redis(t *testing.T) {
	prefix := newPrefix(t)
	authtest.Store(t, func(t *testing.T) auth.Store {
		return redisstore.Store{Client: connect(t, nil), Prefix: prefix}
	})
}

func TestAuth29RedisRecords(t *testing.T) {
	prefix, client := newPrefix(t), connect(t, nil)
	store := redisstore.Store{Client: client, Prefix: prefix}
	if _, err := store.Swap(t.Context(), "orders", []byte("first"), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := client.HGet(t.Context(), prefix+"orders", "value").Result(); got != "first" || err != nil {
		t.Errorf("Redis holds %q (%v) under the prefix, want %q", got, err, "first")
	}
	if got := client.TTL(t.Context(), prefix+"orders").Val(); got != -1 {
		t.Errorf("the record expires in %v, want never", got)
	}
	if err := (redisstore.Store{}).Validate(); err == nil {
		t.Error("Validate() = nil without a Client, want an error")
	}
}

// A flaky connection loses the answer to the next script, which the server has
// carried out.
type flaky struct {
	net.Conn
	next *atomic.Bool
}

func (c flaky) Write(data []byte) (int, error) {
	n, err := c.Conn.Write(data)
	if bytes.Contains(data, []byte("eval")) && c.next.CompareAndSwap(true, false) {
		_, _ = c.Read(make([]byte, 100)) // the server's answer
		_ = c.Close()
	}
	return n, err
}

func TestAuth33RedisAnswerLost(t *testing.T) {
	var next atomic.Bool
	client := connect(t, func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			return flaky{conn, &next}, err
		}
	})
	store := redisstore.Store{Client: client, Prefix: newPrefix(t)}
	rev, err := store.Swap(t.Context(), "orders", []byte("first"), 0) // the server knows the script now
	if err != nil {
		t.Fatal(err)
	}
	next.Store(true)
	rev, err = store.Swap(t.Context(), "orders", []byte("second"), rev)
	if err != nil || next.Load() {
		t.Fatalf("Swap() = %v whose answer was lost (%v), want nil, as it has been carried out", err, !next.Load())
	}
	value, got, err := store.Load(t.Context(), "orders")
	if string(value) != "second" || got != rev || err != nil {
		t.Errorf("Load() = %q, %d, %v, want %q, %d", value, got, err, "second", rev)
	}
}

func TestAuth40RedisErrors(t *testing.T) {
	prefix, client := newPrefix(t), connect(t, nil)
	store := redisstore.Store{Client: client, Prefix: prefix}
	if err := client.Set(t.Context(), prefix+"text", "CANARY", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.HSet(t.Context(), prefix+"hash", "rev", "CANARY", "value", "CANARY").Err(); err != nil {
		t.Fatal(err)
	}
	_, _, wrongType := store.Load(t.Context(), "text")
	_, noSwap := store.Swap(t.Context(), "text", []byte("CANARY"), 0)
	_, _, damaged := store.Load(t.Context(), "hash")
	for err, want := range map[error]string{wrongType: "WRONGTYPE", noSwap: "answers with error", damaged: "damaged"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("error = %v, want one that says %q, without the value", err, want)
		}
	}
}

// A server may repeat what it was sent, as those do that do not know scripts.
func TestAuth40RedisServerThatEchoes(t *testing.T) {
	for answer, want := range map[string]string{
		"-ERR unknown command 'evalsha', with args beginning with: 'CANARY'\r\n": "ERR",
		"-sent CANARY\r\n":               "other",
		"-NOPERM CANARY not allowed\r\n": "NOPERM",
	} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			buf := make([]byte, 1<<16)
			for {
				if _, err := server.Read(buf); err != nil {
					return
				}
				if _, err := server.Write([]byte(answer)); err != nil {
					return
				}
			}
		}()
		c := redis.NewClient(&redis.Options{
			Protocol: 2, DisableIdentity: true, MaxRetries: -1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		})
		_, err := redisstore.Store{Client: c}.Swap(t.Context(), "orders", []byte("CANARY"), 0)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("Swap() = %v of %q, want an error with %q and nothing else of it", err, answer, want)
		}
		_ = c.Close()
		_ = server.Close()
	}
}

// A server that hangs is left when the context ends, not when the client loses
// patience.
func TestAuth05RedisHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), ReadTimeout: time.Second, MaxRetries: -1})
	defer client.Close()
	store := redisstore.Store{Client: client}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err = store.Swap(ctx, "orders", []byte("first"), 0)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 500*time.Millisecond {
		t.Errorf("Swap() = %v after %v, want %v after 50ms", err, took, context.DeadlineExceeded)
	}
}

func TestAuth34RedisDown(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer client.Close()
	_, _, err := redisstore.Store{Client: client}.Load(t.Context(), "orders")
	if err == nil || policy.ClassOf(err) != policy.NotSent {
		t.Errorf("Load() = %v, want an error of class %v", err, policy.NotSent)
	}
}
