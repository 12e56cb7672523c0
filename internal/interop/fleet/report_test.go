package fleet_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A report is what a replica tells, one JSON value a line: how a call went, or an event of the
// auth policy.
type report struct {
	Replica string `json:"-"` // whose it is
	Call    *call  `json:",omitempty"`
	Event   string `json:",omitempty"`
}

// A call is how a call of the API went. The clock is the same for all replicas.
type call struct {
	Began, Ended time.Time
	Status       int
	Error        string
	Class        string // of the error
	Reauth       bool   // the error matches ErrReauthRequired
	Unavailable  bool   // the error matches ErrTokenUnavailable
}

func (c *call) good() bool { return c.Error == "" && c.Status == http.StatusOK }

// passes reports whether c failed for want of a token, in a way that passes.
func (c *call) passes() bool { return c.Unavailable && !c.Reauth && c.Class == "throttled" }

// A reporter writes reports. It is safe for concurrent use.
type reporter struct {
	mu   sync.Mutex
	json *json.Encoder
}

func (r *reporter) report(what report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.json.Encode(what)
}

// A record is what all replicas have reported. It is safe for concurrent use.
type record struct {
	mu      sync.Mutex
	reports []report
}

// read takes down what a replica reports, until that ends.
func (r *record) read(replica string, from io.Reader) error {
	for dec := json.NewDecoder(from); ; {
		next := report{Replica: replica}
		switch err := dec.Decode(&next); err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF: // it was killed
			return nil
		default:
			return err
		}
		r.mu.Lock()
		r.reports = append(r.reports, next)
		r.mu.Unlock()
	}
}

// all returns what has been reported so far.
func (r *record) all() []report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.reports)
}

// count returns how often an event has been reported.
func (r *record) count(event string) (n int) {
	for _, report := range r.all() {
		if report.Event == event {
			n++
		}
	}
	return n
}

// firstGood returns when the first call of a replica was over that began after the given time and
// went well.
func (r *record) firstGood(replica string, after time.Time) (time.Time, bool) {
	for _, report := range r.all() {
		if c := report.Call; c != nil && report.Replica == replica && c.Began.After(after) && c.good() {
			return c.Ended, true
		}
	}
	return time.Time{}, false
}
