// Package breaker provides a policy that stops calling what keeps failing, so
// that callers learn at once that there is no use, and what has failed is left
// alone until it has recovered.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		breaker.New(breaker.Config{OpenFor: 10 * time.Second}),
//	)
//
// # Circuits
//
// The policy keeps a circuit for each [policy.Call.Key]; for HTTP that is one
// for each origin. A circuit is closed at first and lets calls pass. It opens
//
//   - when so many calls in a row have failed, however slowly they came,
//   - when too large a share of the recent calls has failed,
//   - when too large a share of them was slow, if [Config.SlowCall] says what
//     slow is.
//
// Calls count when they end, not when they begin, so that timeouts weigh as
// much as the answers that came faster.
//
// An open circuit rejects calls with an error that matches [ErrOpen]. After
// [Config.OpenFor] it is half-open: a few calls pass as probes, all others are
// rejected still. Once [Config.Probes] of them have succeeded the circuit is
// closed and has forgotten the past. If one fails, or is slow, the circuit is open
// again, for longer. The results of calls that began before the state changed
// last do not count.
//
// # What counts
//
// The class of a call's error decides, see [policy.ClassOf]:
//
//   - Transient, NotSent: a failure.
//   - Throttled: a failure, unless the error says that it came before any effect,
//     as a 429 does. That says nothing about the health of the other side.
//   - Permanent: a success, as is no error at all. The other side has answered.
//   - Unauthenticated, Canceled, Rejected: says nothing.
//
// [Config.Failure] takes the place of the class. Before either, the caller's
// context is asked. If the caller has left, or had left or run out of time
// before the call began, an error says nothing. If the caller's deadline passed
// while the call ran, that is a timeout like any other and thus a failure: a server
// that hangs shows in nothing else. A panic or a [runtime.Goexit] of the call
// says nothing and passes through.
//
// A probe that says nothing makes room for another one. So does, after
// [Config.ProbeTimeout], a probe that does not end.
//
// # Events
//
// The policy emits, see [policy.Call.Emit]:
//
//   - breaker.opened with state, new_state, transition.reason
//     (failure_ratio, consecutive_failures, slow_ratio or probe_failed) and
//     open_for,
//   - breaker.half_opened and breaker.closed with state and new_state,
//   - breaker.rejected with state, and with retry_in if that is known,
//   - breaker.probe_succeeded and breaker.probe_failed with state, after all
//     other events of the probe.
//
// A call that passes a closed circuit and leaves it closed emits nothing. Each
// call tells of what it has changed itself, outside of all locks, so the events of
// several calls at a time may arrive in another order than they came about in;
// [Policy.State] is always true.
//
// # Shadow
//
// A breaker that is to be watched before it is relied upon goes into a
// [policy.Shadow]. Its circuits open and close as they would, by the results of the
// calls that it would have let pass, and all others pass too.
//
// # Memory
//
// A circuit that is closed and sees no call while 2048 new keys appear is
// forgotten, with the failures that it has counted, and so is one that has been
// half-open for longer than [Config.MaxOpenFor]. So there are never many more
// circuits than keys in use. The policy has no goroutines and no timers.
package breaker
