package workflow

import "time"

// A Status tells how a run is getting on. Engines that list their runs do so by it.
type Status struct {
	// Flow and ID say which run it is.
	Flow, ID string

	// State is what becomes of the run at the moment.
	State State

	// Step is the name of the step that is under way, or that is to be tried again.
	// It is "" in between.
	Step string

	// Attempts is how often that step has been begun.
	Attempts int

	// Next is when a run that is [Waiting] goes on.
	Next time.Time

	// Err is why the run has [Failed], or is [Stuck], and otherwise what the last attempt
	// of Step has come to, or nil. That of a run that is stuck is nil if nobody has
	// resumed it since the engine was opened.
	Err error

	// Begun and Ended are when the run was first begun, and when it ended, if it has.
	Begun, Ended time.Time
}

// A State is what becomes of a run.
type State uint8

const (
	// Running is the state of a run whose flow or step is at work.
	Running State = iota

	// Waiting is the state of a run that sleeps, or whose step is to be tried again.
	Waiting

	// Stuck is the state of a run that is not finished, and that nobody is at work on:
	// it is to be resumed.
	Stuck

	// Succeeded is the state of a run with a result.
	Succeeded

	// Failed is the state of a run that has ended with a [Failure].
	Failed
)

var stateNames = [...]string{"running", "waiting", "stuck", "succeeded", "failed"}

// String returns the state's name in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}
