// Package timeout provides a policy that limits how long a call may take.
//
//	p := pipeline.Must(pipeline.New("users",
//		timeout.New(timeout.Config{Name: "total", Limit: 10 * time.Second}),
//		retry.New(retry.Config{}),
//		timeout.New(timeout.Config{Name: "attempt", Limit: 2 * time.Second}),
//	))
//
// Outside of a retry it limits the call with all its attempts and delays,
// inside of one it limits each attempt. The limit is a deadline of the context,
// so the operation has to heed that; the call ends when the operation does, and
// nothing is left running. An HTTP request is limited until its response's
// headers have arrived: the reading of a body is never cut off.
package timeout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrExceeded matches the errors of calls that took longer than the limit.
// They match [context.DeadlineExceeded] too.
var ErrExceeded = errors.New("timeout: limit exceeded")

// Config configures a [Policy]. The zero Config is ready to use.
type Config struct {
	// Name identifies the policy. Default: "timeout".
	Name string `json:"name" yaml:"name"`

	// Limit is how long a call may take, from 1 ms to 30 days. Default: 10 s.
	Limit time.Duration `json:"limit" yaml:"limit"`
}

// A Policy limits how long calls may take. Make one with [New]. It is safe for
// concurrent use.
type Policy struct {
	config Config
}

// New returns a policy with the given configuration.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "timeout")
	config.Limit = cmp.Or(config.Limit, 10*time.Second)
	return &Policy{config}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string { return p.config.Name }

// Type names the policy's spans: "timeout".
func (p *Policy) Type() string { return "timeout" }

// Limit returns how long a call may take. A pipeline asks for its warnings.
func (p *Policy) Limit() time.Duration { return p.config.Limit }

// Validate reports what is wrong with the policy's configuration.
func (p *Policy) Validate() error {
	switch {
	case p.config.Name == "":
		return errNotMade
	case p.config.Limit < minLimit, p.config.Limit > maxLimit:
		return fmt.Errorf("invalid Limit %v: want %v to %v", p.config.Limit, minLimit, maxLimit)
	default:
		return nil
	}
}

var errNotMade = errors.New("timeout: not usable: want a Policy made with New")

// What is beyond these is a number whose unit was mistaken.
const (
	minLimit = time.Millisecond
	maxLimit = 30 * 24 * time.Hour
)

// Do implements [policy.Policy]. A call that fails after the limit has passed
// has an error that matches [ErrExceeded] and wraps the operation's own; a retry
// outside of the policy tries it again, unless it was refused by a policy further
// in. If the caller's own deadline is
// sooner, that one counts, and the errors are the caller's.
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	call.Note(ctx, slog.Duration("limit", p.config.Limit))
	at := time.Now().Add(p.config.Limit)
	if sooner, ok := ctx.Deadline(); ok && !at.Before(sooner) {
		err := next(ctx, call)
		call.Outcome(ctx, "completed")
		return err
	}
	limited, cancel := withDeadline(ctx, at)
	defer cancel()
	err := next(limited, call)
	if err == nil || ctx.Err() != nil || !errors.Is(limited.Err(), context.DeadlineExceeded) {
		call.Outcome(ctx, "completed")
		return err
	}
	call.Outcome(ctx, "exceeded")
	call.Emit(ctx, "timeout.exceeded", slog.Duration("limit", p.config.Limit))
	return &exceededError{p.config, err}
}

type exceededError struct {
	config Config
	err    error // the operation's
}

func (e *exceededError) Error() string {
	text := fmt.Sprintf("%v: %v", ErrExceeded, e.config.Limit)
	if e.config.Name != "timeout" {
		text = fmt.Sprintf("%v: %q of %v", ErrExceeded, e.config.Name, e.config.Limit)
	}
	if e.err == context.DeadlineExceeded { //nolint:errorlint // It adds nothing, if it is all there is to say.
		return text
	}
	return text + ": " + e.err.Error()
}

func (e *exceededError) Unwrap() error { return e.err }

func (e *exceededError) Is(target error) bool {
	return target == ErrExceeded || target == context.DeadlineExceeded
}

// Class returns [policy.Transient]: another attempt may be faster. If the call had
// not even taken effect in time, for want of a connection or of a token for
// instance, the class is that of the operation's own error.
func (e *exceededError) Class() policy.Class {
	if policy.NoEffect(e.err) {
		return policy.ClassOf(e.err)
	}
	return policy.Transient
}

func (e *exceededError) ErrorType() string { return "timeout" }

// Timeout returns true, as [net.Error] asks for.
func (e *exceededError) Timeout() bool { return true }
