// Package coalesce provides a policy that has identical calls that are made at the
// same time share one execution, so that a thousand who ask for the same are one
// request.
//
//	p, err := pipeline.New("catalog",
//		coalesce.New(coalesce.Config{}),
//		retry.New(retry.Config{}),
//		breaker.New(breaker.Config{}),
//	)
//
// The first call begins an execution, and those that are identical join it until it
// has ended. It is nobody's: whoever leaves, or runs out of time, leaves alone, also
// the one whose call began it, and only when all have left it is canceled. A later
// call never gets an earlier one's result: this is no cache.
//
// # What is identical
//
// HTTP requests are identical if they are made through the same Transport with the
// same method, URL and header, what policies further out have added to it included,
// and but for the trace context. GET, HEAD and OPTIONS requests are shared, unless
// they have a body or ask for another protocol; all others are not.
//
// Functions are identical if [Config.Key] says so, and their names and the keys of
// their calls are the same; without it they are not shared. A function that is
// shared must return its result, not keep it in variables, and heed the context that
// it is given, not that of its caller. For that reason calls without a result, those
// of pipeline.Pipeline.Do, are never shared.
//
// Once calls are not shared unless [Config.Once] says so: two orders for the same are
// two orders.
//
// The execution has the values of the context of the call that began it. So the
// policy belongs inside of whatever tells users apart by their context, such as an
// auth.Keyed; or else Config.Key has to do that, too. Otherwise one user gets what
// is another's. Also, a call may join an execution that began before it, and so
// before what its caller has changed just now.
//
// # Results
//
// All get the same value or error, which they must not change, or a response of
// their own. For that, a response is read to its end before anybody gets it, up to
// [Config.MaxBytes]. One that is longer, or that is a stream of events, cannot be
// shared: one of those who wait gets it as it comes, and the others carry out their
// own calls. If reading fails, all get what has been read, and the error after it.
//
// A panic or a [runtime.Goexit] is that of all who wait. If nobody does, it is lost.
//
// A call that is made by an execution, with its context, is not shared, or it might
// wait for itself.
//
// # Events
//
// The policy emits coalesce.joined, see [policy.Call.Emit], for calls that join an
// execution, and coalesce.parted if they have to be carried out by themselves after
// all. The outcomes of its calls are led, joined, and alone. The wait for an
// execution that another call began is a step, "coalesce wait", with a link to that
// call.
package coalesce
