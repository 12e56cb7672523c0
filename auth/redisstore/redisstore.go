// Package redisstore keeps the grants of package auth in Redis, for replicas
// on several machines.
//
//	client := redis.NewClient(&redis.Options{Addr: "redis.example.com:6379"})
//	store := auth.Encrypt(redisstore.Store{Client: client}, aead)
//
// # What Redis must keep
//
// A write that Redis has confirmed and then forgets has the refresh token spent
// twice, for which a server may revoke the grant. Set appendonly to yes, and
// maxmemory-policy to noeviction. With appendfsync everysec, the default, a loss of
// power loses the last second of writes, with always none. Replication is
// asynchronous: a failover may lose what the new master had not got yet. If a human
// must log in to mend that, weigh it against a store that waits for its replicas.
//
// Records do not expire, and are read from where the client reads: let it be the
// master.
package redisstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/evenkeel-go/evenkeel/auth"
)

// A Store is an [auth.Store] in Redis, or what speaks its protocol and has
// scripts. Each record is one hash, so a cluster will do. It is safe for concurrent
// use if its Client is.
//
// Of an error that the server answers only the code is told, such as WRONGTYPE,
// as its text may repeat what was sent. Calls return when their context ends; what
// they sent may be waited for in the background, for as long as the client's
// ReadTimeout.
type Store struct {
	// Client is the connection to Redis. It is required, and not closed.
	Client redis.UniversalClient

	// Prefix is what the keys of all records begin with.
	// Default: "evenkeel:auth:".
	Prefix string
}

// Validate reports whether the store has a Client.
func (s Store) Validate() error {
	if s.Client == nil {
		return errors.New("invalid Client nil: want a connection to Redis")
	}
	return nil
}

// Load implements [auth.Store].
func (s Store) Load(ctx context.Context, key string) (value []byte, rev uint64, err error) {
	fields, err := within(ctx, func() ([]any, error) {
		return s.Client.HMGet(ctx, s.key(key), "rev", "value").Result()
	})
	switch {
	case err != nil:
		return nil, 0, err
	case fields[0] == nil:
		return nil, 0, nil
	}
	revText, _ := fields[0].(string)
	valueText, ok := fields[1].(string)
	rev, err = strconv.ParseUint(revText, 10, 64)
	if !ok || err != nil || rev == 0 {
		return nil, 0, errors.New("redisstore: a record is damaged: want one with a value and a revision")
	}
	return []byte(valueText), rev, nil
}

// swap takes the revisions before and after, and the value. The client runs it
// again if the connection breaks before the answer has come, so it succeeds
// if it has been run already.
var swap = redis.NewScript(`
local rev = redis.call('hget', KEYS[1], 'rev') or '0'
if rev == ARGV[2] then return 1 end
if rev ~= ARGV[1] then return 0 end
redis.call('hset', KEYS[1], 'rev', ARGV[2], 'value', ARGV[3])
return 1`)

// Swap implements [auth.Store].
func (s Store) Swap(ctx context.Context, key string, value []byte, rev uint64) (next uint64, err error) {
	// What is sent may outlast the call.
	sent, sentRev := bytes.Clone(value), rand.Uint64N(1<<63-1)+1
	swapped, err := within(ctx, func() (bool, error) {
		return swap.Run(ctx, s.Client, []string{s.key(key)}, text(rev), text(sentRev), sent).Bool()
	})
	switch {
	case err != nil:
		return 0, err
	case !swapped:
		return 0, auth.ErrConflict
	}
	return sentRev, nil
}

func (s Store) key(key string) string { return cmp.Or(s.Prefix, "evenkeel:auth:") + key }

func text(rev uint64) string { return strconv.FormatUint(rev, 10) }

// within returns what call returns, or leaves it alone when ctx has ended, which
// the client looks at only between its steps.
func within[T any](ctx context.Context, call func() (T, error)) (result T, err error) {
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	type answer struct {
		result T
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		result, err := call()
		answers <- answer{result, err}
	}()
	select {
	case a := <-answers:
		return a.result, told(a.err)
	case <-ctx.Done():
		return result, context.Cause(ctx)
	}
}

// told returns what can be told of an error of the client.
func told(err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[redis.Error](err); ok {
		code, _, _ := strings.Cut(answer.Error(), " ")
		if code != strings.ToUpper(code) {
			code = "other"
		}
		return fmt.Errorf("redisstore: the server answers with error %s: want success", code)
	}
	return fmt.Errorf("redisstore: %w", err)
}
