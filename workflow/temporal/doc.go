// Package temporal runs flows on Temporal, so that they survive the death of every machine
// that works on them, and use all of them.
//
//	c, err := client.Dial(client.Options{})
//	engine := temporal.New(c, "orders", temporal.Config{})
//	defer engine.Close()
//	err = Place.On(engine)
//	receipt, err := Place.Run(ctx, engine, order.ID, order)
//
// The flow place-order is the workflow type place-order, its step reserve the activity type
// place-order/reserve. Its run 17 is the workflow place-order/17, whose first step is the
// activity 1-reserve; what a URL's path may not have is escaped in an id as there. Their inputs and results are JSON as it is, for whoever reads them in
// Temporal's UI, or begins a run by its tools.
//
// The first run starts a worker in this process. A program that does nothing but work calls
// [Engine.Resume] instead of running a flow, one that leaves the work to others
// sets [Config.StartOnly]. All workers of a queue have to know the same flows.
//
// Those who have workflows already get steps that go through a pipeline by [Activity], and
// nothing else.
//
// # Who tries again
//
// A step goes through its pipeline, for seconds. What that gives up crosses to Temporal as
// a [workflow.Failure]. A permanent one is not retryable. One that tells when to come back, as a
// Retry-After or an open circuit do, is tried again just then, and not before. All others wait as [workflow.Retry] says, but Temporal counts
// every attempt, those that were told when to come back too.
//
// GiveUpAfter is the activity's schedule-to-close timeout, so it includes the time that a step
// waits for a worker. Steps heartbeat while they are carried out, at a third of
// [Config.HeartbeatTimeout], after which the death of their worker is noticed. Others then take
// them up at once, as they do when a worker is closed, which cancels its steps.
//
// # What is different
//
// A run whose flow has changed stays unfinished, as with other engines: its workflow task fails
// until a worker has the code that it was begun with. Run looks for that, at first after a
// second, then ever less often, up to a minute; its error matches [workflow.ErrChanged] and
// names the step that is recorded, not what the flow comes to instead. A step that is
// under way is carried out before anything is noticed. That two waits
// have changed places, or last longer, is never noticed.
//
// An operator who cancels or terminates a run ends it where it is: the flow undoes nothing. The
// error of Run is then a [workflow.Failure] of class [policy.Canceled], which is not
// permanent, but the same each time.
//
// Temporal forgets runs when the retention period of their namespace has passed. An
// id may then be used again. It has limits of its own, by default 2 MB for an input or a result,
// and some 8,000 steps for a run.
//
// Run joins only what Run has begun: other runs lack the digest of their input that it goes by.
//
// # Traces
//
// The spans of Temporal are those of [go.temporal.io/sdk/contrib/opentelemetry], which the client
// is given as an interceptor. The spans of pipelines are then below those of their
// activities, in the trace of the request that began the run, also after a crash.
package temporal
