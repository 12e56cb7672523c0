package bulkhead_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAllocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := bulkhead.New(bulkhead.Config{Slots: 1, MaxWait: time.Second})
		full := bulkhead.New(bulkhead.Config{Slots: 1})
		occupy(t, full, 1, time.Hour)
		for _, tt := range []struct {
			name string
			p    *bulkhead.Policy
			want float64
		}{
			{"free", free, 0},
			{"full", full, 1}, // The error.
		} {
			if got := testing.AllocsPerRun(1000, func() { _ = tt.p.Do(t.Context(), orders, succeed) }); got != tt.want {
				t.Errorf("%s: %v allocations per call, want %v", tt.name, got, tt.want)
			}
		}
	})
}

func BenchmarkDo(b *testing.B) {
	b.Run("free", func(b *testing.B) {
		p, ctx := bulkhead.New(bulkhead.Config{}), b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("full", func(b *testing.B) {
		p, ctx := bulkhead.New(bulkhead.Config{Slots: 1}), b.Context()
		began, release := make(chan struct{}), make(chan struct{})
		go func() {
			_ = p.Do(ctx, orders, func(context.Context, policy.Call) error {
				close(began)
				<-release
				return nil
			})
		}()
		<-began
		defer close(release)
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Do(ctx, orders, succeed); !errors.Is(err, bulkhead.ErrFull) {
				b.Fatal(err)
			}
		}
	})
	b.Run("new keys", func(b *testing.B) {
		p, ctx := bulkhead.New(bulkhead.Config{}), b.Context()
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if err := p.Do(ctx, policy.Call{Key: fmt.Sprint(i)}, succeed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDoParallel(b *testing.B) {
	for name, config := range map[string]bulkhead.Config{
		"free":  {Slots: 1000},
		"waits": {Slots: 1, MaxWait: time.Minute, MaxQueue: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			p, ctx := bulkhead.New(config), b.Context()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := p.Do(ctx, orders, succeed); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
