// Package workflow makes a sequence of requests resilient, as a pipeline makes one:
//
//	var (
//		Reserve = workflow.NewStep("reserve", stock, reserve) // func(context.Context, Order) (Hold, error), through pipeline stock
//		Charge  = workflow.NewStep("charge", payments, charge)
//		Release = workflow.NewStep("release", stock, release)
//		Place   = workflow.NewFlow("place-order", place, Reserve, Charge, Release)
//	)
//
//	func place(r workflow.Run, o Order) (Receipt, error) {
//		hold, err := Reserve.Do(r, o)
//		if err != nil {
//			return Receipt{}, err
//		}
//		receipt, err := Charge.Do(r, hold)
//		if workflow.IsPermanent(err) {
//			_, undo := Release.Do(r, hold)
//			return Receipt{}, errors.Join(err, undo)
//		}
//		return receipt, err
//	}
//
// An [Engine] runs it, and remembers what its steps have come to, so that the run
// survives the death of the process: one of package journal in a file, one of
// package temporal on Temporal, one of package memory not at all. Flows are the
// same on each.
//
//	engine, err := journal.Open("orders.db", journal.Config{})
//	err = Place.On(engine)
//	receipt, err := Place.Run(ctx, engine, order.ID, order) // idempotent by id: joins, resumes or returns
//
// # What a flow may do
//
// After a crash, the flow's function is called again from its beginning, and its
// steps return what they returned before, without being carried out. So it has to
// come to the same steps in the same order: it does to the world what its
// steps do, and waits by [Run]'s Sleep. It starts no goroutines, and asks neither the
// clock nor the dice. What depends on those, a step returns.
//
// A step is carried out at least once: if the process is killed between its answer and
// the record of it, then again. [Key] tells the two apart from two that are
// meant; HTTP requests through a pipeline carry it as their Idempotency-Key.
//
// # Who tries again
//
// The step's pipeline tries again for seconds. What it gives up, the engine tries again for
// hours, see [Retry], unless the failure is permanent. A failure that a flow sees is one
// that nobody will try again: the flow may undo what it has done.
package workflow
