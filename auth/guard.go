package auth

import "time"

// A guard limits how often refused tokens are replaced, for servers that
// refuse every token. After each replacement the next has to wait, twice as long
// as the last time, unless the server accepts a token before.
type guard struct {
	wait   time.Duration
	until  time.Time     // no replacement before
	former time.Duration // wait before the last replacement

	// A server may accept a token for one thing and refuse it for another, so
	// how often the wait may be lifted is limited, too.
	lifted int
	since  time.Time

	// A token that is not enough for one thing was so before for others. That it is
	// accepted there says nothing.
	weak string // the header of the last token that was not enough
}

const (
	minGuard = 10 * time.Second
	maxGuard = 5 * time.Minute
	maxLifts = 5 // within maxGuard
)

// admit reports whether a refused token may be replaced now, and if so counts
// on its being done.
func (g *guard) admit(now time.Time) bool {
	if now.Before(g.until) {
		return false
	}
	g.former = g.wait
	g.wait = min(max(2*g.wait, minGuard), maxGuard)
	g.until = now.Add(g.wait)
	return true
}

// forgive takes back the last replacement that was admitted.
func (g *guard) forgive() { g.wait, g.until = g.former, time.Time{} }

// lift ends the wait, as the token in the given header has been accepted, and
// reports whether there is none any more.
func (g *guard) lift(header string, now time.Time) bool {
	if header == g.weak {
		return !now.Before(g.until)
	}
	if now.Sub(g.since) >= maxGuard {
		g.lifted, g.since = 0, now
	}
	if now.Before(g.until) {
		if g.lifted == maxLifts {
			return false
		}
		g.lifted++
	}
	g.wait, g.until = 0, time.Time{}
	return true
}
