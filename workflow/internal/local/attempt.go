package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/workflow"
)

// try carries out a step once, when it is time, and takes down in e what that has come
// to. Its error ends the run for now.
func (r *run) try(e *Entry, fn workflow.StepFunc, in json.RawMessage) error {
	if err := r.wait(*e); err != nil {
		return err
	}
	if e.Since.IsZero() {
		e.Since = time.Now()
		r.set(*e)
	}
	if err := r.flush(); err != nil {
		return err
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	r.say(workflow.Status{Step: e.Step, Attempts: e.Attempts + 1, Err: lastError(*e)})
	out, err := r.attempt(e, fn, in)
	if err != nil && r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	if err != nil {
		e.fail(err, r.engine.retry)
	} else {
		*e = Entry{Step: e.Step, Output: out}
	}
	if e.done() {
		r.say(workflow.Status{})
	}
	r.set(*e)
	return nil
}

// fail takes down that an attempt has failed with err, and what follows from that.
func (e *Entry) fail(err error, retry workflow.Retry) {
	failure := workflow.NewFailure(e.Step, err)
	e.Failure = failure
	e.Attempts++
	if _, told := failure.RetryAfter(); told {
		e.Told++
	}
	now := time.Now()
	elapsed := now.Sub(e.Since)
	delay, ok := retry.Next(failure, e.Attempts-e.Told, elapsed)
	switch {
	case ok:
		e.Until = now.Add(delay)
	case workflow.IsPermanent(failure):
		*e = Entry{Step: e.Step, Failure: failure}
	default:
		*e = Entry{Step: e.Step, Failure: failure.GivenUp(elapsed.Round(time.Millisecond))}
	}
}

// attempt calls fn, whose context ends when the step would be given up, so that none hangs for
// ever. If that ends the goroutine, the run ends with it, see conclude.
func (r *run) attempt(e *Entry, fn workflow.StepFunc, in json.RawMessage) (out json.RawMessage, err error) {
	ctx, span := r.startStepSpan(e)
	ctx = workflow.WithKey(ctx, r.key.Flow, r.key.ID, r.ordinal)
	ctx, cancel := context.WithTimeout(ctx, r.engine.retry.WithDefaults().GiveUpAfter)
	defer cancel()
	err = errGoexit
	defer func() {
		tellStack(span, err)
		endSpan(r.ctx, span, err)
	}()
	defer recovered(&err)
	out, err = fn(ctx, in)
	if err == nil {
		err = validate(out)
	}
	return out, err
}

// A panicError is the end of a function that did not return.
type panicError struct{ text, stack string }

// errGoexit is what the error of a function is until it returns.
var errGoexit error = &panicError{text: "runtime.Goexit was called"}

// recovered is to be deferred. It sets err if the function panics.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &panicError{fmt.Sprintf("panic: %v", v), string(debug.Stack())}
	}
}

func (e *panicError) Error() string       { return e.text }
func (e *panicError) Class() policy.Class { return policy.Permanent }
func (e *panicError) ErrorType() string   { return "panic" }

var errNoJSON = policy.WithClass(errors.New("invalid result: want JSON"), policy.Permanent)

func validate(out json.RawMessage) error {
	if !json.Valid(out) {
		return errNoJSON
	}
	return nil
}
