package policy

import (
	"context"
	"iter"
	"log/slog"
	"strings"
)

// This file is for those who carry out calls, package pipeline and tests, and for
// policies that carry out one for several, see [Sharer]. Others have no use for it.

// An Operation is where a call leads: what the next of the innermost policy
// carries out. It must be safe for concurrent use.
//
// It may have one more method, behind [Call.Answer], if that is not the same as
// Resolve:
//
//	Answer(value any) error
type Operation interface {
	// Do carries out the operation.
	Do(ctx context.Context, call Call) error

	// Resolve is behind [Call.Resolve].
	Resolve(value any) error

	// Accepts is behind [Call.Accepts].
	Accepts(header string) bool
}

type answerer interface {
	Answer(value any) error
}

// A Sharer is an Operation that can be carried out once for several calls: those
// with a result, such as that of an HTTP request.
//
// That is an execution of its own, which a policy begins for one call and ends when
// nobody waits for it any more. So it may outlast the call that it was begun
// for, as nothing else that policies do.
type Sharer interface {
	Operation

	// Identity returns what tells the operation, with what call adds to it, from
	// those that are not identical, as far as that is known without asking
	// whoever makes the call. It may hold secrets. ok is false if the operation
	// cannot be shared.
	Identity(call Call) (identity string, ok bool)

	// Share returns an operation that does the same as this one, with an outcome
	// that several calls may have. ctx is that of the execution. Of what can be
	// shared only if it is held in memory, such as the body of a response, no more
	// than maxBytes are.
	Share(ctx context.Context, maxBytes int64) (Operation, SharedOutcome)
}

// A SharedOutcome is what an operation has come to that was carried out for several
// calls. It must be safe for concurrent use.
type SharedOutcome interface {
	// End is called once, with the error that the execution has ended with, and
	// before Settle. It may take as long as it takes to read a response.
	End(err error)

	// Settle has call end as the execution has, and returns the error to end it
	// with. ok is false if call cannot have that outcome and has to be carried out by
	// itself: its result is of another type, or it is one that only one call can
	// have, as that of a response that is too long to be held in memory.
	Settle(call Call) (ok bool, err error)

	// Close is called when nobody will call Settle any more, and instead of End
	// after a panic.
	Close()
}

// WithOperation returns a copy of c that leads to op.
func (c Call) WithOperation(op Operation) Call {
	c.operation = op
	return c
}

// Operation returns what c leads to, or nil.
func (c *Call) Operation() Operation { return c.operation }

// A HeaderField is a header that a policy asked for.
type HeaderField struct {
	Name  string
	Value string                                   // if Func is nil
	Func  func(method, url string) (string, error) // see [Call.WithHeaderFunc]
}

// HeaderFields returns the headers to send: those that policies asked for, except
// those that others took the place of, the last one first.
func (c Call) HeaderFields() iter.Seq[HeaderField] {
	return func(yield func(HeaderField) bool) {
		for h := c.headers; h != nil; h = h.next {
			if !c.headers.replaces(h) && !yield(h.HeaderField) {
				return
			}
		}
	}
}

// replaces reports whether a header before old in the list, which was set later,
// has the same name.
func (h *header) replaces(old *header) bool {
	for ; h != old; h = h.next {
		if strings.EqualFold(h.Name, old.Name) {
			return true
		}
	}
	return false
}

// An Event is a decision of a policy that is worth knowing.
type Event struct {
	Name     string      // what was decided: "breaker.opened"
	Pipeline string      // the name of the pipeline; set by the pipeline
	Policy   string      // the name of the policy that decided; set by the pipeline
	Call     Call        // the call, as the policy saw it
	Attrs    []slog.Attr // why, and with which figures
}

// A Recorder receives what a policy says about a call. Tests of a policy may
// give the call one of their own to see what it decides. It must be safe for
// concurrent use.
//
// It may have more methods, behind those of [Call] that are called the same:
//
//	Outcome(ctx context.Context, outcome string)
//	Note(ctx context.Context, attr slog.Attr)
//	Link(ctx context.Context) slog.Attr
//	Detach(ctx context.Context) context.Context
//
// What it has no method for it does not want to hear.
type Recorder interface {
	// Emit is behind [Call.Emit].
	Emit(ctx context.Context, event Event)

	// Step is behind [Call.Step].
	Step(ctx context.Context, call Call, name string, attrs []slog.Attr) (context.Context, func(error))
}

type (
	outcomeRecorder interface {
		Outcome(ctx context.Context, outcome string)
	}
	noteRecorder interface {
		Note(ctx context.Context, attr slog.Attr)
	}
	linkRecorder interface {
		Link(ctx context.Context) slog.Attr
	}
	detachRecorder interface {
		Detach(ctx context.Context) context.Context
	}
)

// WithRecorder returns a copy of c whose policies speak to r; nil silences
// them.
func (c Call) WithRecorder(r Recorder) Call {
	c.recorder = r
	return c
}

// Recorder returns what listens to the policies of c, or nil.
func (c *Call) Recorder() Recorder { return c.recorder }
