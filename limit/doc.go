// Package limit provides a policy that finds out how many calls at a time a server
// can take, and rejects what is more.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		limit.New(limit.Config{}),
//		timeout.New(timeout.Config{Name: "attempt", Limit: 2 * time.Second}),
//	)
//
// A server that is given more calls than it can work on has them wait. That gets
// nothing done sooner and everything later, until all of them time out and the work is
// for nothing. Where a bulkhead has a number that somebody has guessed, which fits until
// the server is scaled or slows down, this policy has one that it has measured.
//
// A call that finds as many in flight as that is rejected at once, with an error that
// matches [ErrExceeded]: it would have to wait in any case, and waiting is what the limit
// is there to avoid. It is not retried. For HTTP a call is in flight until the response's
// headers have arrived.
//
// # The algorithm
//
// It is the Gradient2 of Netflix's concurrency-limits, with a baseline as in its Vegas;
// in brackets stand their parameters. For each [policy.Call.Key], for HTTP that is each
// origin, calls are measured in windows [of 1 second and at least 10 calls]. At the end of
// one in which at least half of the limit was in use [as in both]
//
//	gradient = min(1, tolerance × base / latency) × (1 − refused)
//	target   = gradient × limit + headroom
//
// latency is the average of the window, base is what it is without a queue, refused is
// the share of calls that the server has refused, and tolerance is
// [Config.Tolerance] [1.5]. headroom is the square root of the limit, at least 4 [as in
// Gradient; 4 in Gradient2]: the queue that is allowed for, and the step by which the
// limit grows. A target above the limit becomes the limit. Towards one below it goes a
// fifth of the way [smoothing of 0.2], as if that were never less than its half [gradient
// of at least 0.5], so that one bad window costs no more than a tenth.
//
// The latency of a server with a queue is base × limit / capacity. So the limit settles at
// tolerance × capacity + headroom: the server stays busy, and calls take little more than
// tolerance × base. TCP Vegas (Brakmo and Peterson, 1995) and FAST TCP (Jin, Wei and Low,
// 2004) find the sizes of their windows in the same way.
//
// For the base Gradient2 takes a long-term average, which learns the queue if an overload
// lasts, and then the limit grows without end. Here it goes after the least latency seen,
// as in Vegas, and is measured anew now and then: after 20 windows that looked like a queue
// the limit is lowered, to a third with the default tolerance, until there can be no queue
// left and a window has been measured; its latency becomes the base. If by then the latency
// is much less, but still that of a queue, the lowered limit stays and the next
// probe follows. So an overload that lasts costs some three percent of the
// throughput, and a server that has become slower for good, which looks like a queue at
// first, is given its due after some 20 windows.
//
// Servers that have no queue but refuse at once what they cannot take are better off with
// package throttle: the headroom alone lets pass all the calls that they refuse.
//
// The queue that other clients cause looks like the base. Few clients that overload a
// server together probe it together too, and keep its queue short. Many may learn its
// queue after all, and then their limits rise, up to [Config.Max].
//
// # What counts
//
// The class of a call's error decides, see [policy.ClassOf]:
//
//   - No error: the latency counts.
//   - Throttled, Transient, NotSent: the server has refused the call, or was too busy
//     for it, as for one that timed out. How long that took says nothing.
//   - All others say nothing: some servers turn down at once what they cannot do.
//
// [Config.Refused] takes the place of the class. Before either, the caller's context is
// asked. If the caller has left, or had left or run out of time before the call began,
// an error says nothing. If the caller's deadline passed while the call ran, that is a
// timeout like any other. A panic or a [runtime.Goexit] of the call says nothing, passes
// through, and leaves nothing in flight.
//
// # Events
//
// The policy emits limit.rejected with max_in_flight, see [policy.Call.Emit]. The outcome
// of calls is succeeded, refused, ignored (it says nothing) or rejected.
//
// # Memory
//
// A key that has no call in flight and sees none while 2048 new keys appear is forgotten,
// with all that was measured. The policy has no goroutines and no timers.
package limit
