package api

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// A Fault is what goes wrong with a request: it answers the request in place of
// next, or before it.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Unavailable answers 503 Service Unavailable. If retryAfter is not zero, it is
// sent as Retry-After, in whole seconds, rounded up.
func Unavailable(retryAfter time.Duration) Fault {
	return status(http.StatusServiceUnavailable, retryAfter)
}

// TooManyRequests answers 429 Too Many Requests, with Retry-After as [Unavailable].
func TooManyRequests(retryAfter time.Duration) Fault {
	return status(http.StatusTooManyRequests, retryAfter)
}

func status(code int, retryAfter time.Duration) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter > 0 {
			seconds := (retryAfter + time.Second - 1) / time.Second
			w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		}
		http.Error(w, http.StatusText(code), code)
	}
}

// Unauthorized answers 401 Unauthorized, as if the token were not good.
func Unauthorized(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	challenge(w, "invalid_token")
}

// Stall keeps the request waiting for d, or for as long as the client waits if d
// is zero, and then serves it if the client is still there.
func Stall(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		var over <-chan time.Time // never, if d is zero
		if d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-over:
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Reset resets the connection instead of answering.
func Reset(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 or a wrapped writer: the next best thing
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
