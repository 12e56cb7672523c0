// Package bulkhead provides a policy that limits how many calls run at a time,
// so that one slow dependency cannot tie up the whole program.
//
//	p, err := pipeline.New("users",
//		retry.New(retry.Config{}),
//		bulkhead.New(bulkhead.Config{Slots: 20, MaxWait: 100 * time.Millisecond}),
//	)
//
// # Slots
//
// The policy has a number of slots for each [policy.Call.Key], for HTTP thus for
// each origin, or with [Config.Global] for all calls together. A call holds one
// exactly while it runs: until the operation has returned, panicked, or ended its
// goroutine, however long ago its context has ended. An HTTP request runs until
// its response's headers have arrived; to read the body takes no slot.
//
// An operation that makes a call through the policy that it runs in needs a second
// slot, and may come to wait for itself.
//
// # Waiting
//
// A call that finds all slots taken is rejected with an error that matches
// [ErrFull]. If there is a [Config.MaxWait] it waits, and gets a slot before all
// calls that came later. It is rejected still
//
//   - if [Config.MaxQueue] calls wait already,
//   - if MaxWait passes,
//   - if its deadline passes, or will pass before its turn comes: that is
//     judged by the pace at which slots have been freed since calls began to
//     wait, once five have been.
//
// A call whose caller leaves while it waits ends with the context's cause.
//
// # Events
//
// The policy emits bulkhead.rejected with slots and reason: full (and no wait is
// allowed), queue_full, max_wait or deadline. A wait is a step named "bulkhead
// wait". The outcome of a call is admitted, waited, rejected or canceled. See
// [policy.Call.Emit].
//
// # Memory
//
// Keys that hold no slot are forgotten when 1024 new ones have appeared. The
// policy has no goroutines.
package bulkhead
