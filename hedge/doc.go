// Package hedge provides a policy that sends a call once more when its answer
// takes unusually long, and goes by the answer that comes first. It trades a
// little load for the latency of the slowest few calls.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{Budget: budget}),
//		hedge.New(hedge.Config{Budget: budget}), // for each attempt
//		breaker.New(breaker.Config{}),
//	)
//
// # Attempts
//
// The first attempt is made at once. If there is no answer after the delay, a
// hedge is sent: the same call again, with [policy.Call.Hedge] 1; if
// [Config.MaxHedges] allows, another follows after the same delay, and so on. The
// first answer is the call's: a success, or an error that would occur again, of
// class Permanent or Unauthenticated. An attempt that fails otherwise leaves it to
// those that are under way. If they all fail, the last failure is the call's error,
// unless it is a mere rejection, or the end of the caller's context. Once an attempt has ended, in whatever way, no hedge
// is sent any more: to try again what has failed is for package retry.
//
// Calls that are Once are never hedged, nor are those that have no time for it: no
// hedge is sent that half of the calls would take too long for to meet the
// deadline.
//
// # The delay
//
// It is what [Config.Quantile] of the calls of the same name and key take at most,
// as far as the policy has seen, or fixed by [Config.Delay]. The time that counts is
// that of first attempts that were answered, and of those that a hedge has
// overtaken, up to then; recent calls weigh more. It is known to within an eighth, from
// 20 calls on; without a fixed delay, calls are not hedged before.
//
// # Load
//
// With the default quantile, at most 5 % of the calls are hedged as long as the
// server answers as it usually does. When it slows down most are, and the budget
// bounds that. Share it with retry: what is sent in excess is the same load,
// whatever the reason.
//
// # Losers
//
// When there is an answer, the context of all other attempts ends, with a cause of
// class Canceled, so that they count neither for nor against the server. The call
// ends when they have, as nothing may be left running, see [policy.Policy]: a
// bulkhead further out counts on that, and so does whoever owns what the operation
// works on. HTTP requests end at once, and their responses are closed. An operation
// that does not heed its context holds up the call, and gains nothing by a
// hedge; if it is safe to leave it behind, it can be made to, as the last example
// shows.
//
// The context of the attempt that has won ends with the call, too. That cuts off no
// HTTP response, whose body is governed by the caller's context alone. What else an
// operation returns must not depend on the context that it was given.
//
// # Events
//
// The policy emits, see [policy.Call.Emit]:
//
//   - hedge.started with hedges, how many there are by then, and delay,
//   - hedge.won with winner, the number of the hedge whose answer is the call's,
//   - hedge.skipped with reason (budget or deadline) if it was time for a hedge, and
//     none was sent.
//
// A call whose first attempt is answered in time emits nothing. Outcomes are
// not_hedged, won, lost (the first attempt was faster than its hedges), and failed. The
// spans of all attempts are siblings, and those of hedges, and all below them, have
// their number in evenkeel.hedge.number. Of calls that could not be hedged from the
// beginning the policy's span tells the reason: once, deadline or latency_unknown.
package hedge
