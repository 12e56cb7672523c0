package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A fault is what a request meets. It may have taken effect all the same.
type fault struct {
	name   string
	answer http.HandlerFunc
	effect bool
}

var faults = []fault{
	{"slow", slow, true},
	{"slow body", slowBody, true},
	{"large body", largeBody, true},
	{"500", status(500, ""), true},
	{"503", status(503, ""), true},
	{"503 that asks for a pause", status(503, "0"), true},
	{"503 that asks for ages", status(503, "9223372037"), true},
	{"429", status(429, "0"), false},
	{"429 that asks for nonsense", status(429, "soon"), false},
	{"revoked token", refuse, false},
	{"reset", reset, true},
	{"stall", stall, true},
	{"truncated body", truncated, true},
	{"malformed", malformed(answers...), true},
	{"malformed refusal", malformed(refusal), false},
}

// good answers with the request's identifier.
func good(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Header.Get(idHeader)) }

func slow(w http.ResponseWriter, r *http.Request) {
	if policy.Sleep(r.Context(), upTo(2*attemptLimit)) == nil {
		good(w, r)
	}
}

// slowBody sends its headers at once, and takes longer for the body than an attempt may.
func slowBody(w http.ResponseWriter, r *http.Request) {
	for part := range strings.SplitSeq(strings.Repeat(r.Header.Get(idHeader)+"\n", 4), "\n") {
		_, _ = fmt.Fprint(w, part)
		_ = http.NewResponseController(w).Flush()
		if policy.Sleep(r.Context(), attemptLimit/2) != nil {
			return
		}
	}
}

func largeBody(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprint(w, strings.Repeat(r.Header.Get(idHeader), 10_000))
}

func status(code int, retryAfter string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(code)
		good(w, r)
	}
}

// refuse refuses the request's token.
func refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	w.Header().Set(idHeader, r.Header.Get(idHeader))
	status(http.StatusUnauthorized, "")(w, r)
}

// stall does not answer while anybody waits.
func stall(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// reset resets the connection in place of an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn := hijack(w)
	if tcp, ok := conn.(*countedConn).Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// truncated promises more than it sends.
func truncated(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "100000")
	good(w, r)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// malformed answers with what is not HTTP, or is so in a way that nobody expects.
func malformed(texts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn := hijack(w)
		_, _ = conn.Write([]byte(texts[rand.IntN(len(texts))]))
		_ = conn.Close()
	}
}

const refusal = "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer claims=abc, ,,=\"\r\nWWW-Authenticate: \x80\r\nContent-Length: 0\r\n\r\n"

var answers = []string{
	"220 mail.example.com ESMTP\r\n",
	"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	"HTTP/1.1 2000 OK\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	"HTTP/1.1 200 OK\r\nX-Large: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
	"HTTP/1.1 503 Down\r\nRetry-After: -1\r\nRetry-After: Thu, 99 Foo\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\n",
	"HTTP/1.1 200",
}

func hijack(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

// chance is true in so many of a hundred cases.
func chance(percent int) bool { return rand.IntN(100) < percent }

func upTo(d time.Duration) time.Duration { return rand.N(d) }
