// Package ratelimit provides a policy that limits how many calls are made per
// second, so that the limits of the other side, which cost more, are not reached.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		ratelimit.New(ratelimit.Config{Rate: 50, Burst: 10, MaxWait: time.Second}),
//	)
//
// # Tokens
//
// The policy has a token bucket for each [policy.Call.Key], for HTTP thus for
// each origin. A call takes a token. [Config.Rate] tokens are added per second,
// and not more than [Config.Burst] are kept, so that within any t seconds
// Burst + Rate·t calls are made at most.
//
// # Waiting
//
// A call that finds no token is rejected with an error that matches
// [ErrExceeded] and says by [policy.RetryAfter] when there would be one. If there
// is a [Config.MaxWait], it waits, and gets a token before all calls that came
// later. How long that takes is known at once: if it is longer than MaxWait, or
// not before the call's deadline, the call is rejected without a wait.
//
// A call whose caller leaves while it waits ends with the context's cause, and
// takes no token: all that wait behind it get theirs the sooner.
//
// # Events
//
// The policy emits ratelimit.rejected with rate, reason and retry_in, if that is
// known. The reason is empty (and no wait is allowed), max_wait or deadline. A wait
// is a step named "rate limit wait" with its delay. The outcome of a call is
// admitted, waited, rejected or canceled. See [policy.Call.Emit].
//
// # Memory
//
// Keys whose bucket is full, which are like new, are forgotten when 1024 new ones
// have appeared. The policy has no goroutines.
package ratelimit
