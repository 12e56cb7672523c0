package interop_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// An api answers GET with the scopes of the access token that comes along.
type api struct {
	url     string
	refused atomic.Int64

	mu     sync.Mutex
	tokens []string // that were good, in the order in which they first came
}

// startAPI starts an API that asks a server about tokens. Requests for a gate's path wait there
// before.
func startAPI(t *testing.T, s *server, gates map[string]*gate) *api {
	t.Helper()
	a := new(api)
	a.url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g := gates[r.URL.Path]; g != nil {
			g.pass(r.Context())
		}
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), "Bearer ")
		switch scopes, active, err := s.inspect(r.Context(), token); {
		case err != nil:
			http.Error(w, "cannot inspect the token: "+err.Error(), http.StatusServiceUnavailable)
		case !active:
			a.refused.Add(1)
			w.Header().Set("WWW-Authenticate", `Bearer realm="api", error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			a.note(token)
			_, _ = io.WriteString(w, scopes)
		}
	}))
	return a
}

func (a *api) note(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.tokens, token) {
		a.tokens = append(a.tokens, token)
	}
}

// generations returns how many access tokens have been good so far.
func (a *api) generations() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tokens)
}

// last returns the access token that was the last new one.
func (a *api) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens[len(a.tokens)-1]
}

// A gate holds requests back.
type gate struct {
	want    int64
	arrived atomic.Int64
	full    chan struct{} // closed when as many as wanted have arrived
	open    chan struct{} // closed to let all through
}

func newGate(want int) *gate {
	return &gate{want: int64(want), full: make(chan struct{}), open: make(chan struct{})}
}

func (g *gate) pass(ctx context.Context) {
	if g.arrived.Add(1) == g.want {
		close(g.full)
	}
	select {
	case <-g.open:
	case <-ctx.Done():
	}
}
