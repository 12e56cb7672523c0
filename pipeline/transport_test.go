package pipeline_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A server answers on loopback, and knows what it was asked.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	conns map[string]bool
	calls int
}

// serve starts a server that answers each call with the handler for it, and
// those after the last with the last.
func serve(t *testing.T, handlers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{conns: make(map[string]bool)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.conns[r.RemoteAddr] = true
		handle := handlers[min(s.calls, len(handlers)-1)]
		s.calls++
		s.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) seen() (calls, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, len(s.conns)
}

// through returns a client of s whose requests pass through policies.
func (s *server) through(policies ...policy.Policy) *http.Client {
	p := pipeline.Must(pipeline.New("test", policies...))
	client := *s.Client()
	client.Transport = p.Transport(client.Transport)
	return &client
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Status", fmt.Sprint(code))
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, "answer %d", code)
	}
}

func echo(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }

// reset drops the connection.
func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// tries returns a retry without delays to speak of.
func tries(n int) *retry.Policy {
	return retry.New(retry.Config{MaxAttempts: n, InitialInterval: 1, MaxInterval: time.Millisecond})
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// answer sends req and returns the status and the body of its response.
func answer(t *testing.T, client *http.Client, req *http.Request) (int, string) {
	t.Helper()
	response, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("%s %s: body: %v", req.Method, req.URL, err)
	}
	return response.StatusCode, string(body)
}

func TestClientGetsWhatTheServerSent(t *testing.T) {
	for _, code := range []int{200, 404, 401, 408, 429, 500, 501, 503} {
		s := serve(t, status(code))
		response, err := s.through(tries(1)).Do(request(t, "GET", s.URL, nil))
		if err != nil {
			t.Errorf("status %d: error %v, want the response", code, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != code || string(body) != fmt.Sprint("answer ", code) || err != nil || response.Header.Get("X-Status") != fmt.Sprint(code) {
			t.Errorf("got %d, %q, %v, want the answer of %d", response.StatusCode, body, err, code)
		}
	}
}

func TestDiscardedResponsesFreeTheirConnection(t *testing.T) {
	s := serve(t, status(503), status(503), status(200))
	if code, body := answer(t, s.through(tries(3)), request(t, "GET", s.URL, nil)); code != 200 || body != "answer 200" {
		t.Errorf("got %d, %q, want the answer of 200", code, body)
	}
	if calls, conns := s.seen(); calls != 3 || conns != 1 {
		t.Errorf("server saw %d calls on %d connections, want 3 on 1", calls, conns)
	}
}

func TestExhaustedAttemptsEndInTheLastResponse(t *testing.T) {
	s := serve(t, status(500), status(502), status(503))
	if code, body := answer(t, s.through(tries(3)), request(t, "GET", s.URL, nil)); code != 503 || body != "answer 503" {
		t.Errorf("got %d, %q, want the answer of 503", code, body)
	}
	if calls, conns := s.seen(); calls != 3 || conns != 1 {
		t.Errorf("server saw %d calls on %d connections, want 3 on 1", calls, conns)
	}
}

// A body knows whether it was closed.
type body struct {
	io.Reader
	closed atomic.Int32
}

func (b *body) Close() error {
	b.closed.Add(1)
	return nil
}

func TestRequestIsNotChangedAndItsBodyClosed(t *testing.T) {
	rejecting := policy.New("reject", func(context.Context, policy.Call, policy.Handler) error { return policy.ErrRejected })
	adding := policy.New("add", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return next(ctx, call.WithHeader("Authorization", "Bearer test"))
	})
	panicking := policy.New("panic", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_ = next(ctx, call)
		panic("test")
	})
	s := serve(t, echo)
	for name, policies := range map[string][]policy.Policy{
		"sent":     {tries(3), adding},
		"rejected": {rejecting},
		"panics":   {panicking},
	} {
		t.Run(name, func(t *testing.T) {
			b := &body{Reader: strings.NewReader("body")}
			req := request(t, "PUT", s.URL, b)
			req.Header.Set("X-Test", "value")
			header, ctx := req.Header.Clone(), req.Context()
			func() {
				defer func() { _ = recover() }()
				response, err := s.through(policies...).Transport.RoundTrip(req)
				if err == nil {
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
					if response.Request != req {
						t.Error("response is not for the caller's request")
					}
				}
			}()
			if !maps.EqualFunc(req.Header, header, slices.Equal) || req.Body != io.ReadCloser(b) || req.Context() != ctx {
				t.Errorf("request was changed: header %v, want %v", req.Header, header)
			}
			if b.closed.Load() == 0 {
				t.Error("request body was not closed")
			}
		})
	}
}

func TestBodyIsSentAgainByGetBody(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(500)
	}, reset, echo)
	if code, body := answer(t, s.through(tries(3)), request(t, "PUT", s.URL, strings.NewReader("whole body"))); code != 200 || body != "whole body" {
		t.Errorf("got %d, %q, want the whole body back", code, body)
	}
	if calls, _ := s.seen(); calls != 3 {
		t.Errorf("server saw %d calls, want 3", calls)
	}
}

func TestSpentBodyIsNotSentAgain(t *testing.T) {
	s := serve(t, status(503))
	b := &body{Reader: strings.NewReader("read once")}
	if code, got := answer(t, s.through(tries(3)), request(t, "PUT", s.URL, b)); code != 503 || got != "answer 503" {
		t.Errorf("got %d, %q, want the answer of 503, unread", code, got)
	}
	if calls, _ := s.seen(); calls != 1 || b.closed.Load() == 0 {
		t.Errorf("server saw %d calls, body closed %d times, want 1 call and it closed", calls, b.closed.Load())
	}
}

func TestPolicyThatInsistsGetsTheOriginalAnswer(t *testing.T) {
	insist := policy.New("insist", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		if err := next(ctx, call); err == nil || !policy.Final(err) {
			t.Errorf("first error is %v, want a final one", err)
		}
		return next(ctx, call)
	})
	errBody := errors.New("no body")
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"spent":  nil,
		"broken": func() (io.ReadCloser, error) { return nil, errBody },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, status(503))
			req := request(t, "PUT", s.URL, &body{Reader: strings.NewReader("read once")})
			req.GetBody = getBody
			through := insist
			if getBody != nil {
				through = tries(3)
			}
			if code, got := answer(t, s.through(through), req); code != 503 || got != "answer 503" {
				t.Errorf("got %d, %q, want the answer of 503, unread", code, got)
			}
			if calls, _ := s.seen(); calls != 1 {
				t.Errorf("server saw %d calls, want 1", calls)
			}
		})
	}
}

func TestWhatMayBeRepeated(t *testing.T) {
	tests := []struct {
		method, header string
		code           int
		calls          int
	}{
		{"GET", "", 500, 2},
		{"HEAD", "", 500, 2},
		{"OPTIONS", "", 500, 2},
		{"PUT", "", 500, 2},
		{"DELETE", "", 500, 2},
		{"POST", "", 500, 1},
		{"PATCH", "", 500, 1},
		{"POST", "Idempotency-Key", 500, 2},
		{"POST", "", 503, 1},
		{"POST", "", 429, 2}, // refused before it took effect
		{"GET", "", 501, 1},
		{"GET", "", 401, 1},
		{"GET", "", 408, 2},
		{"GET", "", 404, 1},
	}
	for _, tt := range tests {
		s := serve(t, status(tt.code))
		req := request(t, tt.method, s.URL, nil)
		if tt.header != "" {
			req.Header.Set(tt.header, "key")
		}
		if code, _ := answer(t, s.through(retry.New(retry.Config{MaxAttempts: 2, InitialInterval: 1, ThrottledInterval: 1})), req); code != tt.code {
			t.Errorf("%s: got %d, want %d", tt.method, code, tt.code)
		}
		if calls, _ := s.seen(); calls != tt.calls {
			t.Errorf("%s answered by %d (%s): %d calls, want %d", tt.method, tt.code, tt.header, calls, tt.calls)
		}
	}
}

func TestUnsentRequestIsRepeated(t *testing.T) {
	s := serve(t, echo)
	dials := 0
	base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 1 {
			return nil, &net.OpError{Op: "dial", Err: errTest}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: pipeline.Must(pipeline.New("test", tries(2))).Transport(base)}
	if code, body := answer(t, client, request(t, "POST", s.URL, strings.NewReader("order"))); code != 200 || body != "order" {
		t.Errorf("got %d, %q, want the order taken at the second dial", code, body)
	}
}

// slowly sends headers at once and a MiB in pieces.
func slowly(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(200)
	for range 16 {
		_, _ = w.Write(make([]byte, 64<<10))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(5 * time.Millisecond) // slower than the limit of the test, in all
	}
}

func TestPolicyDeadlineDoesNotCutABody(t *testing.T) {
	s := serve(t, slowly)
	client := s.through(timeout.New(timeout.Config{Limit: 40 * time.Millisecond}), tries(3), timeout.New(timeout.Config{Limit: 30 * time.Millisecond}))
	if code, body := answer(t, client, request(t, "GET", s.URL, nil)); code != 200 || len(body) != 1<<20 {
		t.Errorf("got %d with %d bytes, want 200 with all %d", code, len(body), 1<<20)
	}
}

func TestCallersDeadlineCutsABody(t *testing.T) {
	s := serve(t, slowly)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, err := s.through(timeout.New(timeout.Config{Limit: time.Minute})).Do(request(t, "GET", s.URL, nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if _, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("body ended with %v, want %v", err, context.Canceled)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func TestTimedOutAttemptIsRetried(t *testing.T) {
	s := serve(t, hang, status(200))
	client := s.through(tries(2), timeout.New(timeout.Config{Limit: 50 * time.Millisecond}))
	if code, _ := answer(t, client, request(t, "GET", s.URL, nil)); code != 200 {
		t.Errorf("got %d, want 200 at the second attempt", code)
	}
}

func TestTimeoutIsAnErrorOfItsOwn(t *testing.T) {
	s := serve(t, hang)
	client := s.through(timeout.New(timeout.Config{Limit: 20 * time.Millisecond}), tries(2))
	_, err := client.Do(request(t, "GET", s.URL, nil)) //nolint:bodyclose // There is none.
	asURL, ok := errors.AsType[*url.Error](err)
	if !errors.Is(err, timeout.ErrExceeded) || !errors.Is(err, context.DeadlineExceeded) || !ok || !asURL.Timeout() {
		t.Errorf("error is %v, want %v, as a timeout", err, timeout.ErrExceeded)
	}
}

func TestTimeoutIsBlamedForTheCancellationItCauses(t *testing.T) {
	base := roundTripper(func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	var class policy.Class
	note := policy.New("note", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		err := next(ctx, call)
		class = policy.ClassOf(err)
		return err
	})
	p := pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{Limit: 10 * time.Millisecond}), note))
	_, err := p.Transport(base).RoundTrip(request(t, "POST", "http://127.0.0.1:1", nil)) //nolint:bodyclose // There is none.
	if !errors.Is(err, timeout.ErrExceeded) || class != policy.Transient {
		t.Errorf("error is %v, inside of class %v, want %v, of class %v", err, class, timeout.ErrExceeded, policy.Transient)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestCarelessBaseTransport(t *testing.T) {
	for name, p := range map[string]*pipeline.Pipeline{
		"with a deadline":    pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{}), tries(2))),
		"without a deadline": pipeline.Must(pipeline.New("test", tries(2))),
	} {
		for _, answer := range []*http.Response{nil, {StatusCode: 200}, {StatusCode: 500}} {
			base := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
			response, err := p.Transport(base).RoundTrip(request(t, "GET", "http://localhost", nil))
			switch {
			case answer == nil && (err == nil || !strings.Contains(err.Error(), "neither")):
				t.Errorf("%s: error is %v of no answer, want one that says so", name, err)
			case answer != nil && (err != nil || response.Body.Close() != nil):
				t.Errorf("%s: error is %v of an answer without a body, want it with an empty one", name, err)
			}
		}
	}
}

func TestCallersCancellationIsNotRetried(t *testing.T) {
	s := serve(t, hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.through(tries(3)).Do(request(t, "GET", s.URL, nil).WithContext(ctx)) //nolint:bodyclose // There is none.
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want %v", err, context.DeadlineExceeded)
	}
	if calls, _ := s.seen(); calls != 1 {
		t.Errorf("server saw %d calls, want 1", calls)
	}
}

func TestConnectionResetIsRetried(t *testing.T) {
	s := serve(t, reset, status(200))
	if code, _ := answer(t, s.through(tries(2)), request(t, "GET", s.URL, nil)); code != 200 {
		t.Errorf("got %d, want 200 at the second attempt", code)
	}
}

func TestStalledBodyDoesNotHoldUpTheNextAttempt(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(503)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, status(200))
	start := time.Now()
	if code, _ := answer(t, s.through(tries(2)), request(t, "GET", s.URL, nil)); code != 200 {
		t.Errorf("got %d, want 200 at the second attempt", code)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v, want the stalled body given up", took)
	}
}

// token is a policy that adds a header.
func token(name, value string) policy.Policy {
	return policy.New("token", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return next(ctx, call.WithHeader(name, value))
	})
}

func TestPolicyHeaders(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	client := s.through(token("Authorization", "outer"), token("authorization", "inner"))
	if _, got := answer(t, client, request(t, "GET", s.URL, nil)); got != "inner" {
		t.Errorf("server got %q, want %q, which was set last", got, "inner")
	}
	req := request(t, "GET", s.URL, nil)
	req.Header.Set("Authorization", "caller's")
	if _, got := answer(t, client, req); got != "caller's" {
		t.Errorf("server got %q, want the caller's own", got)
	}
	req.Header = http.Header{"authorization": {"caller's, not canonical"}}
	if _, got := answer(t, client, req); got != "caller's, not canonical" {
		t.Errorf("server got %q, want the caller's own", got)
	}
	for _, bad := range [][2]string{{"Bad Name", "v"}, {"", "v"}, {"X-Test", "a\r\nX-Evil: 1"}} {
		_, err := s.through(token(bad[0], bad[1])).Do(request(t, "GET", s.URL, nil)) //nolint:bodyclose // There is none.
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("invalid header %q", bad[0])) || strings.Contains(err.Error(), "Evil") {
			t.Errorf("header %q: error is %v, want one that names it without its value", bad[0], err)
		}
	}
}

func TestAcceptsTellsWhatWouldBeSent(t *testing.T) {
	var accepts []bool
	ask := policy.New("ask", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		accepts = append(accepts, call.Accepts("authorization"))
		return next(ctx, call)
	})
	s := serve(t, echo)
	req := request(t, "GET", s.URL, nil)
	answer(t, s.through(ask), req)
	req.Header.Set("Authorization", "caller's")
	answer(t, s.through(ask), req)
	if want := []bool{true, false}; !slices.Equal(accepts, want) {
		t.Errorf("Accepts() = %v without and with the caller's own header, want %v", accepts, want)
	}
}

func TestPolicyHeadersStayAtTheirOrigin(t *testing.T) {
	var mu sync.Mutex
	got := make(map[string]string)
	note := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		got[r.URL.Path] = r.Header.Get("Authorization")
		mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
	home, away := serve(t, note), serve(t, note)
	// Home, home again, away, and back home.
	back := home.URL + "/back"
	over := away.URL + "/away?to=" + back
	again := home.URL + "/again?to=" + strings.NewReplacer("?", "%3F", "=", "%3D", "&", "%26").Replace(over)
	first := home.URL + "/first?to=" + strings.NewReplacer("?", "%3F", "=", "%3D", "&", "%26", "%", "%25").Replace(again)
	answer(t, home.through(token("Authorization", "Bearer secret")), request(t, "GET", first, nil))
	want := map[string]string{"/first": "Bearer secret", "/again": "Bearer secret", "/away": "", "/back": ""}
	if !maps.Equal(got, want) {
		t.Errorf("servers got %q, want %q", got, want)
	}
}

func TestCallOfARequest(t *testing.T) {
	var got policy.Call
	note := policy.New("note", func(_ context.Context, call policy.Call, _ policy.Handler) error {
		got = call
		return policy.ErrRejected
	})
	transport := pipeline.Must(pipeline.New("test", note)).Transport(nil)
	for _, tt := range []struct {
		method, url, name string
		want              policy.Call
	}{
		{"GET", "https://API.example.com:443/users/1?q=2", "", policy.Call{Name: "HTTP GET", Key: "https://api.example.com"}},
		{"POST", "http://user:pw@localhost:8080", "", policy.Call{Name: "HTTP POST", Key: "http://localhost:8080", Once: true}},
		{"", "http://localhost:80", "", policy.Call{Name: "HTTP GET", Key: "http://localhost"}},
		{"BREW", "http://localhost", "", policy.Call{Name: "HTTP", Key: "http://localhost", Once: true}},
		{"GET", "http://localhost", "users.get", policy.Call{Name: "users.get", Key: "http://localhost"}},
	} {
		req := request(t, tt.method, tt.url, nil)
		if tt.name != "" {
			req = req.WithContext(pipeline.WithCallName(req.Context(), tt.name))
		}
		_, err := transport.RoundTrip(req) //nolint:bodyclose // There is none.
		if got.Name != tt.want.Name || got.Key != tt.want.Key || got.Once != tt.want.Once || !errors.Is(err, policy.ErrRejected) {
			t.Errorf("%s %s: call %q of key %q, once %v, error %v; want %q, %q, %v", tt.method, tt.url, got.Name, got.Key, got.Once, err, tt.want.Name, tt.want.Key, tt.want.Once)
		}
	}
}

func TestCallWhoseBodyCannotBeSentAgainIsOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		body io.Reader
		want bool
	}{
		"none":      {nil, false},
		"in memory": {strings.NewReader("order"), false},
		"a stream":  {io.MultiReader(strings.NewReader("order")), true},
	} {
		note := policy.New("note", func(_ context.Context, call policy.Call, _ policy.Handler) error {
			if call.Once != tt.want {
				t.Errorf("PUT with body %s: once %v, want %v", name, call.Once, tt.want)
			}
			return policy.ErrRejected
		})
		_, _ = pipeline.Must(pipeline.New("test", note)).Transport(nil).RoundTrip(request(t, "PUT", "http://localhost", tt.body)) //nolint:bodyclose // There is none.
	}
}

func TestCallNameIsNotInherited(t *testing.T) {
	var names []string
	note := policy.New("note", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		names = append(names, call.Name)
		return next(ctx, call)
	})
	s := serve(t, echo)
	other := s.through(note)
	asking := policy.New("ask", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		answer(t, other, request(t, "POST", s.URL, nil).WithContext(ctx)) // for a token, say
		return next(ctx, call)
	})
	req := request(t, "GET", s.URL, nil)
	answer(t, s.through(note, asking), req.WithContext(pipeline.WithCallName(req.Context(), "users.get")))
	if want := []string{"users.get", "HTTP POST"}; !slices.Equal(names, want) {
		t.Errorf("calls are %q, want %q", names, want)
	}
}

func TestRequestWithoutURL(t *testing.T) {
	b := new(body)
	_, err := pipeline.Must(pipeline.New("test", tries(1))).Transport(nil).RoundTrip(&http.Request{Body: b}) //nolint:bodyclose // There is none.
	if err == nil || !strings.Contains(err.Error(), "no URL") || b.closed.Load() != 1 {
		t.Errorf("RoundTrip() = %v, body closed %d times, want an error and it closed", err, b.closed.Load())
	}
}

func TestPoliciesMaySettleARequest(t *testing.T) {
	settle := func(do func(context.Context, policy.Call, policy.Handler) error) policy.Policy {
		return policy.New("settle", do)
	}
	s := serve(t, status(503))
	cached := settle(func(ctx context.Context, call policy.Call, next policy.Handler) error {
		if err := next(ctx, call); err == nil {
			return nil
		}
		return call.Resolve(&http.Response{StatusCode: 203, Body: io.NopCloser(strings.NewReader("cached"))})
	})
	if code, body := answer(t, s.through(cached), request(t, "GET", s.URL, nil)); code != 203 || body != "cached" {
		t.Errorf("got %d, %q, want the policy's own response", code, body)
	}
	content := settle(func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_ = next(ctx, call)
		return nil
	})
	if code, body := answer(t, s.through(content), request(t, "GET", s.URL, nil)); code != 503 || body != "answer 503" {
		t.Errorf("got %d, %q, want the answer that the policy is content with", code, body)
	}
	good := serve(t, status(200))
	changed := settle(func(ctx context.Context, call policy.Call, next policy.Handler) error {
		_ = next(ctx, call)
		return call.Resolve(&http.Response{StatusCode: 203, Body: io.NopCloser(strings.NewReader("changed"))})
	})
	for range 3 {
		if code, body := answer(t, good.through(changed), request(t, "GET", good.URL, nil)); code != 203 || body != "changed" {
			t.Errorf("got %d, %q, want the response that took the place of the server's", code, body)
		}
	}
	if calls, conns := good.seen(); calls != 3 || conns != 1 {
		t.Errorf("server saw %d calls on %d connections, want 3 on 1", calls, conns)
	}
	for name, do := range map[string]func(context.Context, policy.Call, policy.Handler) error{
		"without a response": func(context.Context, policy.Call, policy.Handler) error { return nil },
		"*http.Response":     func(_ context.Context, call policy.Call, _ policy.Handler) error { return call.Resolve("text") },
	} {
		if _, err := s.through(settle(do)).Do(request(t, "GET", s.URL, nil)); err == nil || !strings.Contains(err.Error(), name) { //nolint:bodyclose // There is none.
			t.Errorf("error is %v, want one that says %q", err, name)
		}
	}
}

func TestConcurrentSendsOfOneRequest(t *testing.T) {
	hedge := policy.New("hedge", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		errs := make(chan error, 3)
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 3 {
			wg.Go(func() { errs <- next(ctx, call) })
		}
		var err error
		for range 3 {
			if err = <-errs; err == nil {
				return nil
			}
		}
		return err
	})
	s := serve(t, status(503), status(200))
	for range 20 {
		if code, body := answer(t, s.through(hedge), request(t, "PUT", s.URL, strings.NewReader("body"))); code != 200 || body != "answer 200" {
			t.Errorf("got %d, %q, want the answer of 200", code, body)
		}
	}
	s.Client().CloseIdleConnections() // or goleak finds a connection that was not given back
}

func TestUpgrade(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	})
	req := request(t, "GET", s.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	response, err := s.through(timeout.New(timeout.Config{Limit: time.Second})).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	w, ok := response.Body.(io.Writer)
	if !ok {
		t.Fatalf("body of 101 is a %T, want an io.Writer", response.Body)
	}
	_, _ = io.WriteString(w, "hello\n")
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("peer said %q, %v, want the echo", line, err)
	}
}

func TestTrailersAndContinue(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n, " ", r.Trailer.Get("X-Request-Sum")))
	})
	b := &body{Reader: strings.NewReader("body")}
	req := request(t, "PUT", s.URL, b)
	req.Header.Set("Expect", "100-continue")
	req.Trailer = http.Header{"X-Request-Sum": {"4"}}
	response, err := s.through(timeout.New(timeout.Config{Limit: 5 * time.Second})).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if sum := response.Trailer.Get("X-Sum"); string(got) != "body" || err != nil || sum != "4 4" {
		t.Errorf("got %q, %v with trailer %q, want %q with %q", got, err, sum, "body", "4 4")
	}
}

func TestHTTP2(t *testing.T) {
	calls := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			w.WriteHeader(503)
			return
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	client := s.Client()
	client.Transport = pipeline.Must(pipeline.New("test", timeout.New(timeout.Config{}), tries(3))).Transport(client.Transport)
	if code, body := answer(t, client, request(t, "PUT", s.URL, bytes.NewReader(make([]byte, 1<<20)))); code != 200 || body != "HTTP/2.0" {
		t.Errorf("got %d, %q, want 200 by HTTP/2.0", code, body)
	}
	client.CloseIdleConnections()
}

// closer is a base transport that knows whether its connections were closed.
type closer struct {
	http.RoundTripper
	closed int
}

func (c *closer) CloseIdleConnections() { c.closed++ }

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	base := new(closer)
	client := &http.Client{Transport: pipeline.Must(pipeline.New("test", tries(1))).Transport(base)}
	client.CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("connections closed %d times, want once", base.closed)
	}
}

func TestOneHostsFailuresLeaveOtherConnectionsAlone(t *testing.T) {
	good, bad := serve(t, status(200)), serve(t, reset)
	client := good.through(tries(2))
	for range 10 {
		answer(t, client, request(t, "GET", good.URL, nil))
		if _, err := client.Do(request(t, "GET", bad.URL, nil)); err == nil { //nolint:bodyclose // There is none.
			t.Error("request to the bad host succeeded")
		}
	}
	if _, conns := good.seen(); conns != 1 {
		t.Errorf("good host saw %d connections, want 1", conns)
	}
}
