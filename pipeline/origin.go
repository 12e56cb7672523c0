package pipeline

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
)

// originOf returns the scheme, host and port of u, the port only if it is not
// the scheme's own: "https://api.example.com".
func originOf(u *url.URL) string {
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	switch scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return scheme + "://" + host
}

// An origin is one that is known, with the scheme and host that it is that of.
type origin struct{ scheme, host, origin string }

// originOf is the function of that name, which costs more.
func (t *transport) originOf(u *url.URL) string {
	first := t.first.Load()
	if first != nil && first.scheme == u.Scheme && first.host == u.Host {
		return first.origin
	}
	o := originOf(u)
	if first == nil {
		t.first.Store(&origin{strings.Clone(u.Scheme), strings.Clone(u.Host), o})
	}
	return o
}

// targetOf returns the URL of req as the server knows it (RFC 9110, section
// 7.1): with the host that the request is addressed to, and without what is not
// sent.
func targetOf(req *http.Request) string {
	u := *req.URL
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	u.Host = cmp.Or(req.Host, u.Host)
	return u.String()
}

// maxRedirects bounds how far back a chain of redirects is followed. Clients
// give up long before.
const maxRedirects = 100

// strayed reports whether req follows a redirect, and any request of the chain
// went to another origin than the first one. What is meant for the first origin
// is not to be sent then, not even if the chain has come back to it.
func strayed(req *http.Request) bool {
	if req.Response == nil {
		return false
	}
	origin := originOf(req.URL)
	for range maxRedirects {
		if req.Response == nil {
			return false
		}
		req = req.Response.Request
		if req == nil || req.URL == nil || originOf(req.URL) != origin {
			return true
		}
	}
	return true
}

// callNames holds the names of calls without one of their own: few distinct
// values, whatever the method.
var callNames = map[string]string{
	"":                 "HTTP GET",
	http.MethodConnect: "HTTP CONNECT",
	http.MethodDelete:  "HTTP DELETE",
	http.MethodGet:     "HTTP GET",
	http.MethodHead:    "HTTP HEAD",
	http.MethodOptions: "HTTP OPTIONS",
	http.MethodPatch:   "HTTP PATCH",
	http.MethodPost:    "HTTP POST",
	http.MethodPut:     "HTTP PUT",
	http.MethodTrace:   "HTTP TRACE",
}

// idempotent reports whether req may be repeated after it has taken effect (RFC
// 9110, section 9.2.2): by its method, or because the server knows it again by
// its Idempotency-Key.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
}
