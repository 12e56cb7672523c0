package breaker

import (
	"context"
	"log/slog"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// reject tells that the call is rejected and returns the error for it. retryIn
// is 0 if it is not known when the next probe may pass, and opened links to the
// call that opened the circuit.
func reject(ctx context.Context, call policy.Call, err *openError, retryIn time.Duration, opened slog.Attr) error {
	if call.Recorder() == nil {
		return err
	}
	if retryIn > 0 {
		call.Emit(ctx, "breaker.rejected", stateAttr(err.state), slog.Duration("retry_in", retryIn), opened)
	} else {
		call.Emit(ctx, "breaker.rejected", stateAttr(err.state), opened)
	}
	call.Outcome(ctx, rejected)
	return err
}

// emitChange tells of a change of state.
func emitChange(ctx context.Context, call policy.Call, event string, from, to State, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{stateAttr(from), slog.String("new_state", to.String())}, attrs...)
	call.Emit(ctx, event, attrs...)
}

func stateAttr(s State) slog.Attr { return slog.String("state", s.String()) }
