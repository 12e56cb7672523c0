package breaker

import (
	"context"
	"log/slog"

	"github.com/evenkeel-go/evenkeel/policy"
)

// reject tells that the call is rejected with err, and returns that. opened links to the
// call that opened the circuit.
func reject(ctx context.Context, call policy.Call, err *openError, opened slog.Attr) error {
	if call.Recorder() == nil {
		return err
	}
	var retryIn slog.Attr
	if wait, ok := err.RetryAfter(); ok {
		retryIn = slog.Duration("retry_in", wait)
	}
	call.Emit(ctx, "breaker.rejected", stateAttr(err.state), retryIn, opened)
	call.Outcome(ctx, rejected)
	return err
}

// emitChange tells of a change of state.
func emitChange(ctx context.Context, call policy.Call, event string, from, to State, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{stateAttr(from), slog.String("new_state", to.String())}, attrs...)
	call.Emit(ctx, event, attrs...)
}

func stateAttr(s State) slog.Attr { return slog.String("state", s.String()) }
