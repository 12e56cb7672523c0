package policy

import (
	"context"
	"iter"
	"log/slog"
	"strings"
)

// This file is for those who carry out calls, package pipeline and tests.
// Policies have no use for it.

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

// WithOperation returns a copy of c that leads to op.
func (c Call) WithOperation(op Operation) Call {
	c.operation = op
	return c
}

// Operation returns what c leads to, or nil.
func (c Call) Operation() Operation { return c.operation }

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
func (c Call) Recorder() Recorder { return c.recorder }
