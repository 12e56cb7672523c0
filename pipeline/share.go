package pipeline

import (
	"context"

	"github.com/evenkeel-go/evenkeel/policy"
)

// This file has operations be carried out once for several calls, see
// [policy.Sharer].

// Identity implements [policy.Sharer]. Whoever makes the call has to say what it is
// about.
func (r *result[T]) Identity(policy.Call) (string, bool) { return "", true }

// Share implements [policy.Sharer].
func (r *result[T]) Share(context.Context, int64) (policy.Operation, policy.SharedOutcome) {
	s := &sharedResult[T]{result: result[T]{plain: r.plain, fn: r.fn}}
	return &s.result, s
}

// A sharedResult is the value that a shared operation ends in.
type sharedResult[T any] struct {
	result result[T]
	err    error
}

func (s *sharedResult[T]) End(err error) { s.err = err }
func (s *sharedResult[T]) Close()        {}

func (s *sharedResult[T]) Settle(call policy.Call) (ok bool, err error) {
	r, ok := innermost(call.Operation()).(*result[T])
	if !ok {
		return false, nil
	}
	value, err := s.result.of(s.err)
	if err == nil {
		r.set(value)
	}
	return true, err
}

// Identity implements [policy.Sharer].
func (t *traced) Identity(call policy.Call) (string, bool) { return identity(t.Operation, call) }

// Share implements [policy.Sharer]. What the shared operation does shows in the trace
// of the call that it is begun for.
func (t *traced) Share(ctx context.Context, maxBytes int64) (policy.Operation, policy.SharedOutcome) {
	op, outcome := t.Operation.(policy.Sharer).Share(ctx, maxBytes)
	return &traced{Operation: op, outer: t, root: t.root, flat: t.flat}, outcome
}

// Identity implements [policy.Sharer].
func (n *nested) Identity(call policy.Call) (string, bool) { return identity(n.outer, call) }

// Share implements [policy.Sharer].
func (n *nested) Share(ctx context.Context, maxBytes int64) (policy.Operation, policy.SharedOutcome) {
	op, outcome := n.outer.(policy.Sharer).Share(ctx, maxBytes)
	return &nested{n.next, op, n.heard}, outcome
}

func identity(op policy.Operation, call policy.Call) (string, bool) {
	s, ok := op.(policy.Sharer)
	if !ok {
		return "", false
	}
	return s.Identity(call)
}

// innermost returns the operation that op leads to through pipelines and traces.
func innermost(op policy.Operation) policy.Operation {
	for {
		switch o := op.(type) {
		case *traced:
			op = o.Operation
		case *nested:
			op = o.outer
		default:
			return op
		}
	}
}
