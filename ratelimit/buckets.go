package ratelimit

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// buckets holds the buckets by key. The zero value is empty.
type buckets struct {
	byKey sync.Map // from string to *bucket
	made  atomic.Uint64
}

// sweepEvery is after how many new buckets those are forgotten that are full.
const sweepEvery = 1024

// take is take of the bucket of key, which it returns too.
func (bs *buckets) take(ctx context.Context, key string, config *Config) (*bucket, *waiter, time.Duration) {
	for {
		b := bs.of(key, config)
		if w, delay, ok := b.take(ctx, config.MaxWait); ok {
			return b, w, delay
		}
		bs.byKey.CompareAndDelete(key, b)
	}
}

// of returns the bucket of key.
func (bs *buckets) of(key string, config *Config) *bucket {
	if v, ok := bs.byKey.Load(key); ok {
		return v.(*bucket)
	}
	// Cloned, so that a key that is a part of something larger does not retain that.
	v, ok := bs.byKey.LoadOrStore(strings.Clone(key), newBucket(config))
	if !ok && bs.made.Add(1)%sweepEvery == 0 {
		bs.sweep()
	}
	return v.(*bucket)
}

// sweep forgets the buckets that are full.
func (bs *buckets) sweep() {
	bs.byKey.Range(func(key, v any) bool {
		if v.(*bucket).forget() {
			bs.byKey.CompareAndDelete(key, v)
		}
		return true
	})
}

// waiting returns how many calls wait.
func (bs *buckets) waiting() (n int) {
	bs.byKey.Range(func(_, v any) bool {
		n += v.(*bucket).waiting()
		return true
	})
	return n
}
