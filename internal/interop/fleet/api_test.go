package fleet_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

// An api takes calls with tokens that are good.
type api struct {
	url     string
	refused atomic.Int64
}

// startAPI starts an API that asks the authorization server about each token.
func startAPI(t *testing.T, verify func(ctx context.Context, token string) error) *api {
	t.Helper()
	a := new(api)
	a.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch err := verify(r.Context(), token); {
		case errors.Is(err, idp.ErrInvalidToken):
			a.refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		case err != nil:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	return a
}

// serve serves handler on the loopback interface until the test ends, and returns where.
func serve(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	var running sync.WaitGroup
	running.Go(func() { _ = s.Serve(listener) })
	t.Cleanup(func() {
		_ = s.Close()
		running.Wait()
	})
	return "http://" + listener.Addr().String()
}

// newTransport returns a transport whose connections are closed when the test ends.
func newTransport(t *testing.T) *http.Transport {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
