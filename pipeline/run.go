package pipeline

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/evenkeel-go/evenkeel/policy"
)

// Run carries out fn through the policies of p and returns its result. The
// name says what fn does, in few distinct values, such as "users.get". fn is
// called again for each attempt; it may be called by several goroutines at a
// time if a policy of p does that.
//
// The error is fn's own, or one of a policy that wraps it or took its place. The
// result is then the zero value.
func Run[T any](ctx context.Context, p *Pipeline, name string, fn func(context.Context) (T, error)) (T, error) {
	if fn == nil {
		return *new(T), errNoOperation
	}
	r := &result[T]{plain: fn}
	return r.of(p.do(ctx, policy.Call{Name: name}, r))
}

// RunCall is [Run] for calls that have more to them than a name, and for
// functions that want to know more of their call, such as its attempt or the
// headers that policies ask for.
func RunCall[T any](ctx context.Context, p *Pipeline, call policy.Call, fn func(context.Context, policy.Call) (T, error)) (T, error) {
	if fn == nil {
		return *new(T), errNoOperation
	}
	r := &result[T]{fn: fn}
	return r.of(p.do(ctx, call, r))
}

// A result is an operation that ends in a value.
type result[T any] struct {
	plain func(context.Context) (T, error)              // either this
	fn    func(context.Context, policy.Call) (T, error) // or this

	settled atomic.Uint32 // how many values there have been

	mu    sync.Mutex
	value T // the last of them
}

func (r *result[T]) Do(ctx context.Context, call policy.Call) error {
	before := r.settled.Load()
	var value T
	var err error
	if r.plain != nil {
		value, err = r.plain(ctx)
	} else {
		value, err = r.fn(ctx, call)
	}
	if err != nil {
		return err
	}
	r.keep(value, before)
	return nil
}

func (r *result[T]) Resolve(value any) error {
	v, ok := value.(T)
	if !ok {
		return policy.WithClass(fmt.Errorf("pipeline: invalid value of type %T: want %v", value, reflect.TypeFor[T]()), policy.Permanent)
	}
	r.set(v)
	return nil
}

func (r *result[T]) Accepts(string) bool { return true }

// keep settles for the value of a run, which began when there were so many. Of
// concurrent runs the first value is kept, as the others may have been told to leave;
// that of a later one takes the place of it.
func (r *result[T]) keep(value T, before uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled.Load() == before {
		r.settle(value)
	}
}

// set settles for a value, whatever was there before.
func (r *result[T]) set(value T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(value)
}

func (r *result[T]) settle(value T) {
	r.value = value
	r.settled.Store(r.settled.Load() + 1)
}

// of returns the result of a call that ended with err.
func (r *result[T]) of(err error) (T, error) {
	if err != nil {
		return *new(T), err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled.Load() == 0 {
		return *new(T), errNoValue
	}
	return r.value, nil
}
