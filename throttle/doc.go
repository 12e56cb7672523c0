// Package throttle provides a policy that sends an overloaded server no more than
// a multiple of what it accepts, and rejects the other calls on the spot.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		throttle.New(throttle.Config{}),
//	)
//
// A server that refuses calls has to receive and to answer them still, and enough
// of them keep it busy with nothing else. The clients know that they are being
// refused, so they can spare it that. This is the client-side throttling of Google's
// book "Site Reliability Engineering", chapter 21, "Handling Overload". Unlike a
// circuit breaker, which lets pass all calls or none, it lets pass as many as are of
// use.
//
// # The share that is rejected
//
// For each [policy.Call.Key], for HTTP that is each origin, the policy counts over
// a rolling window the calls that it was given and those of them that the server
// has accepted. A call is rejected with the probability
//
//	max(0, (requests − K × accepts) / (requests + 1))
//
// The calls that are rejected are requests too. So the policy lets pass about K
// calls for each one that is accepted, whatever there is to send: with a K of 2 the
// server refuses one call for each that it accepts, and clients learn soon that it
// accepts more. Nothing is rejected before fewer than one call in K is accepted.
//
// Rejected calls have an error that matches [ErrOverloaded]. They are not retried.
//
// When the server accepts everything again, the policy lets pass more and more: with a
// K of 2 twice as many calls after less than half a Window, with one of 1.1 after
// nearly four. An outage in which nothing is accepted lets pass about one call per
// Window. From that, with a K of 2, a client that makes n calls per Window recovers
// after about 1 + 0.63 × ln(n/2) of them. The book has a window of two minutes, and gRPC
// has one of 30 seconds; this policy's is shorter for the sake of recovery.
//
// # What counts
//
// The class of a call's error decides, see [policy.ClassOf]:
//
//   - Throttled: the server has refused the call, as by a 429.
//   - Transient, NotSent: so it has. Few servers have the strength to refuse politely
//     what is too much for them: most answer 503 without Retry-After, stall until the
//     call times out, or refuse the connection.
//   - Permanent, Unauthenticated: the server has accepted the call, as it has if there
//     is no error. It has found the time to look at it.
//   - Canceled, Rejected: says nothing.
//
// [Config.Refused] takes the place of the class. Before either, the caller's context
// is asked. If the caller has left, or had left or run out of time before the call
// began, an error says nothing. If the caller's deadline passed while the call ran,
// that is a timeout like any other. A panic or a [runtime.Goexit] of the call says
// nothing and passes through.
//
// Calls count when they end, not when they begin: otherwise the first calls to a
// server would be rejected for want of answers.
//
// # Events
//
// The policy emits throttle.rejected with probability, see [policy.Call.Emit]. The
// outcome of calls is accepted, refused, ignored (it says nothing) or rejected.
//
// # Memory
//
// A key that sees no call while 2048 new keys appear is forgotten, once nothing was
// refused for longer than the window. The policy has no goroutines and no timers.
package throttle
