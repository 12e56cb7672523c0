// Package policy is the contract between policies and the pipelines that
// calls pass through on their way to a server, a database, or any other
// operation that can fail.
//
// A policy surrounds a call: it may do something before the call goes on,
// something after, call on several times, or not at all. That is all there is
// to it, so a function is a policy too:
//
//	func logged(ctx context.Context, call policy.Call, next policy.Handler) error {
//		start := time.Now()
//		err := next(ctx, call)
//		slog.InfoContext(ctx, call.Name, "took", time.Since(start), "error", err)
//		return err
//	}
//
//	var logging = policy.New("log", logged)
//
// Policies see errors, never results: one instance serves calls of every
// result type. What a policy may conclude from an error is said by the
// error's class, see [ClassOf]. What a policy decides it says with
// [Call.Emit], [Call.Wait] and [Call.Step]; the pipeline turns that into traces
// and tells the observers.
//
// The package depends on the standard library only.
package policy

import (
	"context"
	"errors"
)

// A Handler carries out a call. It must be safe for concurrent use.
type Handler func(ctx context.Context, call Call) error

// A Policy surrounds the calls that pass through a pipeline.
//
// It must be safe for concurrent use: one instance serves all calls and may
// serve several pipelines, which then share its state.
//
// A policy may have more methods. Validate() error says what is wrong with
// its configuration; the pipeline asks when it is built. Type() string says
// what kind of policy it is, such as "retry", where Name says which one, such as
// "orders-retry"; the type names the policy's spans. Without it the name does. A
// [Gauge] tells of a third one.
//
// A policy that refuses calls does so by an error that matches [ErrRejected], tells
// of it by an event named package.rejected and by the outcome "rejected", and can
// then be tried out in a [Shadow].
type Policy interface {
	// Name identifies the policy in traces, metrics and messages. It is the
	// same at every call.
	Name() string

	// Do carries out the call, usually by way of next, and returns the call's
	// error or one of its own.
	//
	// What it passes on to next is the call it was given, or a changed copy of
	// it, and a context derived from its own. When it returns, no call of next is
	// under way, and none follows; the one exception is the [Sharer]. What it took (a permit, a slot, a probe)
	// it gives back in a defer, so that a panic or [runtime.Goexit] of the
	// operation, which it lets pass, costs nothing.
	Do(ctx context.Context, call Call, next Handler) error
}

// New returns a policy with the given name that is carried out by do. A
// missing name or function is reported when a pipeline is built with it.
func New(name string, do func(ctx context.Context, call Call, next Handler) error) Policy {
	return &function{name, do}
}

type function struct {
	name string
	do   func(ctx context.Context, call Call, next Handler) error
}

func (f *function) Name() string { return f.name }

func (f *function) Validate() error {
	if f.do == nil {
		return errNoFunction
	}
	return nil
}

func (f *function) Do(ctx context.Context, call Call, next Handler) error {
	if f.do == nil {
		return errNoFunction
	}
	return f.do(ctx, call, next)
}

var errNoFunction = WithClass(errors.New("policy: invalid function nil: want a func(context.Context, policy.Call, policy.Handler) error"), Permanent)
