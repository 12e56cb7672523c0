package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A signing policy adds a header that says for which request it was computed,
// and counts them.
type signing struct {
	name string
	fail func(n int) error // nil for none

	mu    sync.Mutex
	calls int
}

func (s *signing) Name() string { return "signing" }

func (s *signing) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	return next(ctx, call.WithHeaderFunc(s.name, s.sign))
}

func (s *signing) sign(method, url string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d %s %s", s.calls, method, url), nil
}

// A heard handler notes the header Signature of what it hears.
type heard struct {
	mu         sync.Mutex
	signatures []string
}

func (h *heard) then(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.signatures = append(h.signatures, r.Header.Get("Signature"))
		h.mu.Unlock()
		next(w, r)
	}
}

func (h *heard) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.signatures
}

func TestHeaderFuncIsCalledForEverySend(t *testing.T) {
	h := &heard{}
	s := serve(t, h.then(status(503)), h.then(status(503)), h.then(status(200)))
	req := request(t, "", s.URL+"/a%2Fb?q=1#part", nil)
	code, _ := answer(t, s.through(&signing{name: "Signature"}, tries(3)), req)
	want := []string{"1 GET " + s.URL + "/a%2Fb?q=1", "2 GET " + s.URL + "/a%2Fb?q=1", "3 GET " + s.URL + "/a%2Fb?q=1"}
	if got := h.all(); code != 200 || !slices.Equal(got, want) {
		t.Errorf("%d after the signatures %q, want 200 after %q", code, got, want)
	}
	if len(req.Header) != 0 {
		t.Errorf("the caller's request has the headers %v, want none", req.Header)
	}
}

func TestHeaderFuncGetsTheURLThatTheServerKnows(t *testing.T) {
	h := &heard{}
	s := serve(t, h.then(status(200)))
	req := request(t, "DELETE", s.URL+"/x", nil)
	req.Host = "api.example.com"
	address := strings.TrimPrefix(s.URL, "http://")
	withUser := request(t, "GET", "http://user:CANARY@"+address+"/x", nil)
	client := s.through(&signing{name: "Signature"})
	answer(t, client, req)
	answer(t, client, withUser)
	want := []string{"1 DELETE http://api.example.com/x", "2 GET " + s.URL + "/x"}
	if got := h.all(); !slices.Equal(got, want) {
		t.Errorf("signatures %q, want %q", got, want)
	}
}

func TestHeaderFuncAndRedirects(t *testing.T) {
	tests := map[string]struct {
		target func(home, other string) string
		want   func(home string) []string
		calls  int
	}{
		"same origin": {
			func(home, _ string) string { return home + "/end" },
			func(home string) []string { return []string{"1 GET " + home + "/", "2 GET " + home + "/end"} }, 2,
		},
		"other origin": {
			func(_, other string) string { return other + "/end" },
			func(home string) []string { return []string{"1 GET " + home + "/", ""} }, 1,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := &heard{}
			other := serve(t, h.then(status(200)))
			var home *server
			home = serve(t, h.then(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, tt.target(home.URL, other.URL), http.StatusFound)
			}), h.then(status(200)))
			signing := &signing{name: "Signature"}
			answer(t, home.through(signing), request(t, "GET", home.URL+"/", nil))
			if got, want := h.all(), tt.want(home.URL); !slices.Equal(got, want) {
				t.Errorf("signatures %q, want %q", got, want)
			}
			if signing.calls != tt.calls {
				t.Errorf("%d signatures were made, want %d", signing.calls, tt.calls)
			}
		})
	}
}

func TestHeaderFuncIsCalledOnlyForWhatIsSent(t *testing.T) {
	signing := &signing{name: "Signature"}
	h := &heard{}
	s := serve(t, h.then(status(200)))
	req := request(t, "GET", s.URL, nil)
	req.Header = http.Header{"signature": {"caller's"}}
	answer(t, s.through(signing), req)
	answer(t, s.through(signing, token("signature", "inner")), request(t, "GET", s.URL, nil))
	if got, want := h.all(), []string{"caller's", "inner"}; !slices.Equal(got, want) || signing.calls != 0 {
		t.Errorf("signatures %q after %d that were made, want %q after none", got, signing.calls, want)
	}
	answer(t, s.through(token("signature", "outer"), signing), request(t, "GET", s.URL, nil))
	if got, want := h.all()[2], "1 GET "+s.URL; got != want {
		t.Errorf("signature %q, want %q, which was set last", got, want)
	}
}

// Nothing is sent without the header, so even what must not be repeated may be
// tried again.
func TestHeaderFuncThatFails(t *testing.T) {
	tests := map[string]struct {
		class     policy.Class
		wantCalls int
	}{
		"passes": {policy.Transient, 2},
		"stays":  {policy.Permanent, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cause := policy.WithClass(errors.New("no key"), tt.class)
			signing := &signing{name: "Signature", fail: func(n int) error {
				if n == 1 {
					return cause
				}
				return nil
			}}
			s := serve(t, status(200))
			response, err := s.through(tries(2), signing).Do(request(t, "POST", s.URL, strings.NewReader("payload")))
			if err == nil {
				_ = response.Body.Close()
			}
			if calls, _ := s.seen(); signing.calls != tt.wantCalls || calls != tt.wantCalls-1 {
				t.Errorf("%d signatures and %d requests, want %d and %d", signing.calls, calls, tt.wantCalls, tt.wantCalls-1)
			}
			if tt.wantCalls == 1 && (!errors.Is(err, cause) || !policy.NoEffect(err) || !strings.Contains(err.Error(), `pipeline: header "Signature": no key`)) {
				t.Errorf("error is %v, want one that names the header, wraps the cause, and says that nothing was sent", err)
			}
		})
	}
}

func TestHeaderFuncWithInvalidValue(t *testing.T) {
	s := serve(t, status(200))
	injected := policy.New("injected", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return next(ctx, call.WithHeaderFunc("Signature", func(string, string) (string, error) { return "a\r\nX-Evil: 1", nil }))
	})
	_, err := s.through(injected).Do(request(t, "GET", s.URL, nil)) //nolint:bodyclose // There is none.
	if err == nil || !strings.Contains(err.Error(), `invalid header "Signature"`) || strings.Contains(err.Error(), "Evil") {
		t.Errorf("error is %v, want one that names the header without its value", err)
	}
}
