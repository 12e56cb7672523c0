package local

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/evenkeel-go/evenkeel/workflow"
)

// A Store keeps the records of runs. It must be safe for concurrent use, but nobody
// saves the same run twice at a time.
type Store interface {
	// Load returns the record of a run, or nil if there is none. Of one that has
	// ended, the entries may be missing.
	Load(key Key) (*Record, error)

	// Save keeps what is new of a record, all of it or nothing: the entries from the
	// given ordinal on, everything if that is 0, and the end if there is one. It keeps
	// no reference to r.
	Save(r *Record, from int) error

	// Unfinished returns the runs that have not ended.
	Unfinished() iter.Seq2[Key, error]

	// All returns all runs. One that cannot be read has an error, and as much of its
	// record as is known.
	All(ctx context.Context) iter.Seq2[*Record, error]
}

// A Key identifies a run.
type Key struct{ Flow, ID string }

// named returns err as that of the run.
func (k Key) named(err error) error {
	if err == nil || k == (Key{}) {
		return err
	}
	return fmt.Errorf("run %q of %q: %w", k.ID, k.Flow, err)
}

// A Record is what is known of a run.
type Record struct {
	Key

	// Begin is what the run was begun with.
	Begin Begin

	// Entries are what it has done so far. The first has ordinal 1.
	Entries []Entry

	// End is what it has come to, or nil.
	End *End
}

// A Begin is what a run was begun with.
type Begin struct {
	Input       json.RawMessage `json:"input"`
	At          time.Time       `json:"at"`
	TraceParent string          `json:"traceparent,omitempty"` // of the span of its first part
}

// An Entry is a step or a sleep of a run.
type Entry struct {
	Step    string            `json:"step,omitempty"` // or "" of a sleep
	Output  json.RawMessage   `json:"output,omitempty"`
	Failure *workflow.Failure `json:"failure,omitempty"` // of the last attempt

	// Until is when a sleep ends, or when a step is to be tried again.
	Until time.Time `json:"until,omitzero"`

	// Of a step that is under way or to be tried again, how many attempts have failed, how many
	// of them were told when to come back, and when the first began.
	Attempts int       `json:"attempts,omitempty"`
	Told     int       `json:"told,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// done reports whether a step needs not be carried out any more.
func (e *Entry) done() bool { return e.Until.IsZero() && (e.Output != nil || e.Failure != nil) }

// result returns what a step has come to.
func (e *Entry) result() (json.RawMessage, error) {
	if e.Failure != nil {
		return nil, e.Failure
	}
	return e.Output, nil
}

// An End is what a run has come to.
type End struct {
	Output  json.RawMessage   `json:"output,omitempty"`
	Failure *workflow.Failure `json:"failure,omitempty"`
	At      time.Time         `json:"at"`
}
