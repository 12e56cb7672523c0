package main

import (
	"fmt"
	"net/http"
)

// A scripted order is one that something happens to.
type scripted struct {
	Order
	fails bool // for good
	story string
}

// orders are placed all at once.
var orders = []scripted{
	{Order{"apples", 300}, false, "all is well"},
	{Order{"pears", 250}, false, "the stock is not available, twice: the pipeline tries again"},
	{Order{"figs", 700}, false, "the answer to the payment gets lost: it is sent again, and not charged again"},
	{Order{"plums", 400}, false, "payments asks for two seconds: too long for the pipeline, so the engine waits"},
	{Order{"cherries", 900}, false, "shipping is broken for longer than the pipeline tries: the engine tries again"},
	{Order{"quinces", 350}, true, "the card is declined: what was reserved is released"},
	{Order{"medlars", 500}, true, "nobody ships to that address: the money goes back, too"},
}

// A fault is what goes wrong with a request.
type fault struct {
	status int    // what is answered, while nothing is done,
	wait   string // with this Retry-After
	lost   bool   // or it is done, and there is no answer
}

// script returns the faults that requests meet, one after the other, by step and order.
func script() map[string][]fault {
	unavailable := fault{status: http.StatusServiceUnavailable}
	broken := fault{status: http.StatusInternalServerError}
	return map[string][]fault{
		"reserve pears":  {unavailable, unavailable},
		"charge figs":    {{lost: true}},
		"charge plums":   {{status: http.StatusServiceUnavailable, wait: "2"}},
		"ship cherries":  {broken, broken, broken},
		"charge quinces": {{status: http.StatusPaymentRequired}},
		"ship medlars":   {{status: http.StatusUnprocessableEntity}},
	}
}

// String returns what is said of a request that meets it.
func (f fault) String() string {
	switch {
	case f.lost:
		return "done, but the answer gets lost"
	case f.status == 0:
		return "done"
	case f.wait != "":
		return fmt.Sprintf("%d %s, Retry-After: %s", f.status, http.StatusText(f.status), f.wait)
	default:
		return fmt.Sprintf("%d %s", f.status, http.StatusText(f.status))
	}
}
