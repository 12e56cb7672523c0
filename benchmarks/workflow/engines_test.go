package workflow_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
	_ "github.com/dbos-inc/dbos-transact-golang/dbos/driver/sqlite" // registers itself

	"github.com/evenkeel-go/evenkeel/workflow"
	"github.com/evenkeel-go/evenkeel/workflow/journal"
	"github.com/evenkeel-go/evenkeel/workflow/memory"
)

// A runner runs the flow for an order.
type runner func(ctx context.Context, o order) (receipt, error)

// An engine creates runners that count the steps they carry out.
type engine struct {
	name   string
	create func(tb testing.TB, steps *atomic.Int64) runner
}

// ours is what others are compared with. It and dbos-synced have each step on the disk before the next;
// dbos as it comes leaves that to the operating system, and the one in memory keeps nothing.
var engines = []engine{
	{"evenkeel", onJournal},
	{"evenkeel-memory", inMemory},
	{"dbos", onDBOS},
	{"dbos-synced", onSyncedDBOS},
}

func onJournal(tb testing.TB, steps *atomic.Int64) runner {
	e, err := journal.Open(filepath.Join(tb.TempDir(), "orders.db"), journal.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return through(tb, e, steps)
}

func inMemory(tb testing.TB, steps *atomic.Int64) runner {
	e := memory.New(memory.Config{})
	tb.Cleanup(func() { _ = e.Close() })
	return through(tb, e, steps)
}

// through returns a runner of the flow as our engines have it.
func through(tb testing.TB, e workflow.Engine, steps *atomic.Int64) runner {
	first := workflow.NewStep("reserve", nil, counted(steps, reserve))
	second := workflow.NewStep("charge", nil, counted(steps, charge))
	place := workflow.NewFlow("place-order", func(r workflow.Run, o order) (receipt, error) {
		shelf, err := first.Do(r, o)
		if err != nil {
			return receipt{}, err
		}
		payment, err := second.Do(r, o)
		return receipt{shelf, payment}, err
	}, first, second)
	if err := place.On(e); err != nil {
		tb.Fatal(err)
	}
	return func(ctx context.Context, o order) (receipt, error) { return place.Run(ctx, e, o.ID, o) }
}

func counted[In, Out any](steps *atomic.Int64, fn func(In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(_ context.Context, in In) (Out, error) {
		steps.Add(1)
		return fn(in)
	}
}

// onDBOS has DBOS open the file as it does: a write-ahead log, and synchronous=NORMAL, so a commit survives the
// death of the process, and not that of the machine.
func onDBOS(tb testing.TB, steps *atomic.Int64) runner {
	return throughDBOS(tb, steps, dbos.Config{DatabaseURL: "sqlite:" + filepath.Join(tb.TempDir(), "orders.db")})
}

// onSyncedDBOS opens the file for DBOS just like that, but for synchronous=FULL, so a commit is on the disk.
func onSyncedDBOS(tb testing.TB, steps *atomic.Int64) runner {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "orders.db")+"?_txlock=immediate"+
		"&_pragma=busy_timeout(5000)&_pragma=foreign_keys(ON)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(4)
	return throughDBOS(tb, steps, dbos.Config{SQLiteSystemDB: db})
}

// throughDBOS returns a runner of the flow as DBOS has it.
func throughDBOS(tb testing.TB, steps *atomic.Int64, config dbos.Config) runner {
	config.AppName, config.Logger = "orders", slog.New(slog.DiscardHandler)
	app, err := dbos.NewContext(context.WithoutCancel(tb.Context()), config)
	if err != nil {
		tb.Fatal(err)
	}
	place := func(run dbos.Context, o order) (receipt, error) {
		shelf, err := dbos.RunAsStep(run, func(context.Context) (int, error) {
			steps.Add(1)
			return reserve(o)
		}, dbos.WithStepName("reserve"))
		if err != nil {
			return receipt{}, err
		}
		payment, err := dbos.RunAsStep(run, func(context.Context) (int, error) {
			steps.Add(1)
			return charge(o)
		}, dbos.WithStepName("charge"))
		return receipt{shelf, payment}, err
	}
	dbos.RegisterWorkflow(app, place, dbos.WithWorkflowName("place-order"))
	if err := dbos.Launch(app); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = dbos.Shutdown(app, time.Second) })
	return func(_ context.Context, o order) (receipt, error) {
		handle, err := dbos.RunWorkflow(app, place, o, dbos.WithWorkflowID(o.ID))
		if err != nil {
			return receipt{}, err
		}
		return handle.GetResult()
	}
}
