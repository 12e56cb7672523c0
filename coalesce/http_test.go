package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// A site answers requests, without a network, after ten seconds.
type site struct {
	answer         func(*http.Request) *http.Response
	sent           atomic.Int64
	opened, closed atomic.Int64
}

func (s *site) RoundTrip(req *http.Request) (*http.Response, error) {
	s.sent.Add(1)
	if err := policy.Sleep(req.Context(), 10*time.Second); err != nil {
		return nil, err
	}
	response := &http.Response{StatusCode: 200, Header: http.Header{"X-Test": {"value"}}, ContentLength: -1}
	if s.answer != nil {
		response = s.answer(req)
	}
	if response.Body == nil {
		response.Body = io.NopCloser(strings.NewReader("content"))
	}
	s.opened.Add(1)
	response.Body = &counted{response.Body, sync.OnceFunc(func() { s.closed.Add(1) })}
	return response, nil
}

type counted struct {
	io.ReadCloser
	count func()
}

func (c *counted) Close() error {
	c.count()
	return c.ReadCloser.Close()
}

// allClosed reports bodies that were not closed.
func (s *site) allClosed(t *testing.T) {
	t.Helper()
	if opened, closed := s.opened.Load(), s.closed.Load(); opened != closed {
		t.Errorf("%d bodies were opened and %d closed, want all", opened, closed)
	}
}

func (s *site) through(policies ...policy.Policy) *http.Client {
	return &http.Client{Transport: pipeline.Must(pipeline.New("test", policies...)).Transport(s)}
}

func shared() policy.Policy { return coalesce.New(coalesce.Config{}) }

// get requests a page and reads all of it.
func get(ctx context.Context, client *http.Client, change ...func(*http.Request)) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://test.example/page", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	for _, change := range change {
		change(req)
	}
	response, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), err
}

func TestIdenticalRequestsAreOne(t *testing.T) {
	for name, policies := range map[string][]policy.Policy{
		"alone":                    {shared()},
		"outside of retry":         {shared(), retry.New(retry.Config{}), timeout.New(timeout.Config{Limit: time.Minute})},
		"inside of retry":          {retry.New(retry.Config{}), shared(), timeout.New(timeout.Config{Limit: time.Minute})},
		"in a pipeline of its own": {pipeline.Must(pipeline.New("inner", shared(), retry.New(retry.Config{})))},
	} {
		for _, status := range []int{200, 404, 401} {
			synctest.Test(t, func(t *testing.T) {
				s := &site{answer: func(*http.Request) *http.Response { return &http.Response{StatusCode: status} }}
				client := s.through(policies...)
				var all sync.WaitGroup
				for range 100 {
					all.Go(func() {
						if got, body, err := get(t.Context(), client); got != status || body != "content" || err != nil {
							t.Errorf("%s: got %d %q, %v, want %d content", name, got, body, err, status)
						}
					})
				}
				all.Wait()
				if got := s.sent.Load(); got != 1 {
					t.Errorf("%s: %d requests, want 1", name, got)
				}
				s.allClosed(t)
			})
		}
	}
}

func TestEachGetsAResponseOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		client := s.through(shared())
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://test.example", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				if got := response.Header.Get("X-Test"); got != "value" || response.Request != req {
					t.Errorf("header is %q, want value, and the request its own", got)
				}
				response.Header.Set("X-Test", fmt.Sprint(i))
			})
		}
		all.Wait()
	})
}

func TestOthersGetTheServersFailureToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{answer: func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"60"}}}
		}}
		var classes sync.Map
		watch := policy.New("watch", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			err := next(ctx, call)
			after, _ := policy.RetryAfter(err)
			classes.Store(fmt.Sprint(policy.ClassOf(err), " ", policy.ErrorType(err), " ", after), true)
			return err
		})
		client := s.through(watch, shared(), retry.New(retry.Config{MaxAttempts: 2}))
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if status, body, err := get(t.Context(), client); status != 503 || body != "content" || err != nil {
					t.Errorf("got %d %q, %v, want 503 content", status, body, err)
				}
			})
		}
		all.Wait()
		classes.Range(func(got, _ any) bool {
			if want := "throttled 503 1m0s"; got != want {
				t.Errorf("to policies the failure is %q, want %q", got, want)
			}
			return true
		})
		if got := s.sent.Load(); got != 2 {
			t.Errorf("%d requests, want 2, an attempt and another", got)
		}
		s.allClosed(t)
	})
}

func TestWhichRequestsAreIdentical(t *testing.T) {
	header := func(name, value string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, value) }
	}
	same := func(*http.Request) {}
	redirected := func(req *http.Request) {
		from, _ := http.NewRequest(http.MethodGet, "http://elsewhere.example", http.NoBody)
		req.Response = &http.Response{Request: from}
	}
	method := func(name string) func(*http.Request) { return func(req *http.Request) { req.Method = name } }
	tests := []struct {
		name   string
		change [2]func(*http.Request)
		shared bool
	}{
		{"same", [2]func(*http.Request){same, same}, true},
		{"same header", [2]func(*http.Request){header("Accept", "a"), header("Accept", "a")}, true},
		{"other user", [2]func(*http.Request){header("Authorization", "a"), header("Authorization", "b")}, false},
		{"other user, no user", [2]func(*http.Request){header("Authorization", "a"), same}, false},
		{"other user in the URL", [2]func(*http.Request){same, func(req *http.Request) { req.URL.User = nil; req.URL.RawQuery = "user=b" }}, false},
		{"other cookie", [2]func(*http.Request){header("Cookie", "a"), header("Cookie", "b")}, false},
		{"other host", [2]func(*http.Request){same, func(req *http.Request) { req.Host = "other.example" }}, false},
		{"other path", [2]func(*http.Request){same, func(req *http.Request) { req.URL.Path = "/other" }}, false},
		{"other trace", [2]func(*http.Request){header("Traceparent", "a"), header("traceparent", "b")}, true},
		{"redirected from elsewhere", [2]func(*http.Request){same, redirected}, false},
		{"HEAD and GET", [2]func(*http.Request){method("HEAD"), method("GET")}, false},
		{"HEAD", [2]func(*http.Request){method("HEAD"), method("HEAD")}, true},
		{"DELETE", [2]func(*http.Request){method("DELETE"), method("DELETE")}, false},
		{"POST", [2]func(*http.Request){method("POST"), method("POST")}, false},
		{"upgrade", [2]func(*http.Request){header("Upgrade", "websocket"), header("Upgrade", "websocket")}, false},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := &site{}
			p := pipeline.Must(pipeline.New("test", shared())).WithPropagator(propagation.TraceContext{})
			rt := p.Transport(s)
			var both sync.WaitGroup
			for _, change := range tt.change {
				both.Go(func() {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://test.example/page", http.NoBody)
					change(req)
					response, err := rt.RoundTrip(req)
					if err != nil {
						t.Errorf("%s: error is %v", tt.name, err)
						return
					}
					response.Body.Close()
				})
			}
			both.Wait()
			want := int64(2)
			if tt.shared {
				want = 1
			}
			if got := s.sent.Load(); got != want {
				t.Errorf("%s: %d requests, want %d", tt.name, got, want)
			}
			s.allClosed(t)
		})
	}
}

func TestWhatPoliciesAddIsPartOfTheRequest(t *testing.T) {
	for _, computed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &site{}
			authorize := policy.New("authorize", func(ctx context.Context, call policy.Call, next policy.Handler) error {
				user, _ := ctx.Value(tenant{}).(string)
				if computed {
					return next(ctx, call.WithHeaderFunc("Authorization", func(string, string) (string, error) { return user, nil }))
				}
				return next(ctx, call.WithHeader("Authorization", user))
			})
			client := s.through(authorize, shared())
			var all sync.WaitGroup
			for _, user := range []string{"a", "a", "b"} {
				all.Go(func() { _, _, _ = get(context.WithValue(t.Context(), tenant{}, user), client) })
			}
			all.Wait()
			want := int64(2)
			if computed { // Nobody knows whether they are the same.
				want = 3
			}
			if got := s.sent.Load(); got != want {
				t.Errorf("computed: %v: %d requests, want %d", computed, got, want)
			}
		})
	}
}

func TestPolicyThatIsPrintedTellsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := coalesce.New(coalesce.Config{})
		client := (&site{}).through(p)
		go func() {
			_, _, _ = get(t.Context(), client, func(req *http.Request) { req.Header.Set("Authorization", "secret") })
		}()
		synctest.Wait()
		if got := fmt.Sprintf("%v %+v %#v", p, p, p); strings.Contains(got, "secret") {
			t.Errorf("policy with a request under way prints as %s", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestTransportsDoNotShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := &site{}, shared()
		var both sync.WaitGroup
		for range 2 {
			client := s.through(p)
			both.Go(func() { _, _, _ = get(t.Context(), client) })
		}
		both.Wait()
		if got := s.sent.Load(); got != 2 {
			t.Errorf("%d requests, want 2: there may be other policies behind the one that is shared", got)
		}
	})
}

func TestResponseThatIsTooLong(t *testing.T) {
	long := strings.Repeat("0123456789", 100)
	for name, length := range map[string]int64{"known length": 1000, "unknown length": -1} {
		for _, most := range []int64{999, 1000} {
			synctest.Test(t, func(t *testing.T) {
				s := &site{answer: func(*http.Request) *http.Response {
					return &http.Response{StatusCode: 200, ContentLength: length, Body: io.NopCloser(strings.NewReader(long))}
				}}
				client := s.through(coalesce.New(coalesce.Config{MaxBytes: most}))
				var all sync.WaitGroup
				for range 5 {
					all.Go(func() {
						if _, body, err := get(t.Context(), client); body != long || err != nil {
							t.Errorf("%s: got %d bytes, %v, want 1000", name, len(body), err)
						}
					})
				}
				all.Wait()
				want := int64(1)
				if most < 1000 { // One gets the response, the others one of their own.
					want = 5
				}
				if got := s.sent.Load(); got != want {
					t.Errorf("%s: %d requests, want %d", name, got, want)
				}
				s.allClosed(t)
			})
		}
	}
}

func TestResponseWithoutABodyIsNotTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{answer: func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 200, ContentLength: 1 << 40}
		}}
		rt := pipeline.Must(pipeline.New("test", shared())).Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
			response, err := s.RoundTrip(req)
			if err == nil {
				response.Body.Close()
				response.Body = http.NoBody
			}
			return response, err
		}))
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://test.example", http.NoBody)
				response, err := rt.RoundTrip(req)
				if err != nil || response.Body != http.NoBody || response.ContentLength != 1<<40 {
					t.Errorf("got %v, %v, want the response to HEAD", response, err)
					return
				}
				response.Body.Close()
			})
		}
		both.Wait()
		if got := s.sent.Load(); got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
	})
}

// A stream is a body whose parts come a second apart, until ctx ends.
type stream struct {
	ctx   context.Context
	parts int
	rest  string // of the present part
}

func (s *stream) Read(p []byte) (int, error) {
	if s.rest == "" {
		if err := policy.Sleep(s.ctx, time.Second); err != nil {
			return 0, err
		}
		if s.parts == 0 {
			return 0, io.EOF
		}
		s.parts--
		s.rest = "part "
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *stream) Close() error { return nil }

// streaming is a site that answers with a stream of the given type.
func streaming(kind string, parts int) *site {
	return &site{answer: func(req *http.Request) *http.Response {
		return &http.Response{StatusCode: 200, ContentLength: -1, Header: http.Header{"Content-Type": {kind}}, Body: &stream{ctx: req.Context(), parts: parts}}
	}}
}

func TestStreamOfEventsIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s, start := streaming("text/event-stream; charset=utf-8", 1<<30), time.Now()
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://test.example", http.NoBody)
		response, err := s.through(shared()).Do(req)
		if err != nil || time.Since(start) != 10*time.Second {
			t.Fatalf("response came after %v with %v, want 10s", time.Since(start), err)
		}
		buf := make([]byte, 16)
		for range 3 {
			if n, err := response.Body.Read(buf); string(buf[:n]) != "part " || err != nil {
				t.Errorf("read %q, %v, want a part", buf[:n], err)
			}
		}
		time.AfterFunc(500*time.Millisecond, cancel)
		if _, err := response.Body.Read(buf); !errors.Is(err, context.Canceled) {
			t.Errorf("reading ended with %v after the caller left, want %v", err, context.Canceled)
		}
		response.Body.Close()
		s.allClosed(t)
	})
}

func TestStreamGoesOnWhenOthersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streaming("text/event-stream", 30)
		client := s.through(shared())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, body, err := get(t.Context(), client); len(body) != 30*len("part ") || err != nil {
					t.Errorf("got %d bytes, %v, want all of the stream", len(body), err)
				}
			})
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				_, _, _ = get(ctx, client)
			})
		}
		all.Wait()
		s.allClosed(t)
	})
}

func TestStreamThatNobodyTakesIsClosed(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			s := streaming("text/event-stream", 1)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // which is when it comes
			defer cancel()
			_, _, _ = get(ctx, s.through(shared()))
			synctest.Wait()
			s.allClosed(t)
		})
	}
}

func TestReadingEndsWhenAllHaveLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streaming("text/plain", 1<<30)
		client := s.through(shared())
		start := time.Now()
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(20+i)*time.Second)
				defer cancel()
				if _, _, err := get(ctx, client); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Duration(20+i)*time.Second {
					t.Errorf("error is %v after %v, want %v after %ds", err, time.Since(start), context.DeadlineExceeded, 20+i)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if s.sent.Load() != 1 {
			t.Errorf("%d requests, want 1", s.sent.Load())
		}
		s.allClosed(t)
	})
}

func TestReadingOutlivesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streaming("text/plain", 10)
		// What limits an attempt does not cut its response, as without coalesce.
		client := s.through(shared(), timeout.New(timeout.Config{Limit: 11 * time.Second}))
		var both sync.WaitGroup
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			_, _, _ = get(ctx, client)
		})
		synctest.Wait()
		both.Go(func() {
			if _, body, err := get(t.Context(), client); body != strings.Repeat("part ", 10) || err != nil {
				t.Errorf("got %q, %v, want ten parts", body, err)
			}
		})
		both.Wait()
		if s.sent.Load() != 1 {
			t.Errorf("%d requests, want 1", s.sent.Load())
		}
		s.allClosed(t)
	})
}

// torn is a body that ends too soon.
type torn struct{ io.Reader }

func (b torn) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestAllGetWhatThereIsOfATornBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{answer: func(*http.Request) *http.Response {
			return &http.Response{StatusCode: 200, ContentLength: 100, Body: io.NopCloser(torn{strings.NewReader("torn")})}
		}}
		client := s.through(shared())
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				if i%2 == 0 {
					if _, body, err := get(t.Context(), client); body != "torn" || !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Errorf("got %q, %v, want torn, %v", body, err, io.ErrUnexpectedEOF)
					}
					return
				}
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://test.example/page", http.NoBody)
				response, err := client.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				defer response.Body.Close()
				if n, err := io.Copy(io.Discard, response.Body); n != 4 || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("copied %d bytes, %v, want 4, %v", n, err, io.ErrUnexpectedEOF)
				}
			})
		}
		all.Wait()
		s.allClosed(t)
	})
}

func TestPanicOfABaseLeavesNothingOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		careless := policy.New("careless", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			_ = next(ctx, call)
			panic("test")
		})
		client := s.through(shared(), careless)
		func() {
			defer func() {
				if got := recover(); got != "test" {
					t.Errorf("recover() = %v, want test", got)
				}
			}()
			_, _, _ = get(t.Context(), client)
		}()
		s.allClosed(t)
	})
}

// The request's header may be used again once RoundTrip has returned.
func TestRequestMayChangeOnceTheCallerHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &site{}
		s.answer = func(req *http.Request) *http.Response {
			if got := req.Header.Get("X-Mine"); got != "before" || req.URL.Path != "/page" {
				t.Errorf("sent %s with %q, want /page with before", req.URL.Path, got)
			}
			return &http.Response{StatusCode: 200}
		}
		client := s.through(shared(), policy.New("slow", func(ctx context.Context, call policy.Call, next policy.Handler) error {
			time.Sleep(5 * time.Second)
			return next(ctx, call)
		}))
		var both sync.WaitGroup
		both.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var mine *http.Request
			_, _, _ = get(ctx, client, func(req *http.Request) {
				req.Header.Set("X-Mine", "before")
				mine = req
			})
			mine.Header.Set("X-Mine", "after")
			mine.URL.Path = "/other"
		})
		synctest.Wait()
		both.Go(func() {
			if _, _, err := get(t.Context(), client, func(req *http.Request) { req.Header.Set("X-Mine", "before") }); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
	})
}

func TestManyRequestsThatComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := streaming("text/plain", 10)
		p := coalesce.New(coalesce.Config{MaxBytes: 40}) // less than all
		client := s.through(p, timeout.New(timeout.Config{Limit: time.Minute}))
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				for j := range 20 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+(7*i+11*j)%40)*time.Second)
					if _, body, err := get(ctx, client); err == nil && body != strings.Repeat("part ", 10) || err != nil && ctx.Err() == nil {
						t.Errorf("got %q, %v", body, err)
					}
					cancel()
				}
			})
		}
		all.Wait()
		synctest.Wait()
		s.allClosed(t)
		for gauge := range p.Gauges() {
			if gauge.Value != 0 {
				t.Errorf("%s is %v, want 0", gauge.Name, gauge.Value)
			}
		}
	})
}

func TestTraceOfThoseWhoJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		p := pipeline.Must(pipeline.New("test", shared(), retry.New(retry.Config{}))).
			WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
		client := &http.Client{Transport: p.Transport(&site{})}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { _, _, _ = get(t.Context(), client) })
			synctest.Wait()
		}
		both.Wait()
		ended := make(map[string]sdktrace.ReadOnlySpan)
		for _, span := range spans.Ended() {
			ended[span.Name()] = span
		}
		leader, wait := ended["coalesce"], ended["coalesce wait"]
		if len(spans.Ended()) != 7 || leader == nil || wait == nil || ended["coalesce: joined"] == nil {
			t.Fatalf("spans are %v, want coalesce with retry and GET below, and coalesce: joined with its wait", ended)
		}
		if links := wait.Links(); len(links) != 1 || links[0].SpanContext.SpanID() != leader.SpanContext().SpanID() {
			t.Errorf("the wait has the links %v, want one to the call that leads", links)
		}
		sends := attribute.Int("evenkeel.pipeline.sends", 1)
		if root := ended["HTTP GET"]; !slices.ContainsFunc(spans.Ended(), func(span sdktrace.ReadOnlySpan) bool {
			return span.Name() == root.Name() && slices.Contains(span.Attributes(), sends)
		}) {
			t.Errorf("no call has %v", sends)
		}
		if got, want := ended["retry"].Parent().SpanID(), leader.SpanContext().SpanID(); got != want {
			t.Errorf("the span of retry is below %v, want %v, that of the call that leads", got, want)
		}
	})
}

func TestTraceOfAPanicIsRedWhereItWasMade(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	p := pipeline.Must(pipeline.New("test", coalesce.New(coalesce.Config{Key: constant}), retry.New(retry.Config{}))).
		WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	func() {
		defer func() { _ = recover() }()
		_, _ = pipeline.Run(t.Context(), p, "call", func(context.Context) (int, error) { panic("test") })
	}()
	var red []string
	for _, span := range spans.Ended() {
		if span.Status().Code == codes.Error {
			red = append(red, span.Name())
		}
	}
	if want := []string{"retry", "call"}; !slices.Equal(red, want) {
		t.Errorf("%q are red, want %q", red, want)
	}
}

func TestTraceWithoutSpansOfPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewSpanRecorder()
		p := pipeline.Must(pipeline.New("test", shared(), retry.New(retry.Config{}))).
			WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))).
			WithSpans(pipeline.PipelineSpans)
		client := &http.Client{Transport: p.Transport(&site{})}
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { _, _, _ = get(t.Context(), client) })
		}
		both.Wait()
		if got := len(spans.Ended()); got != 3 {
			t.Errorf("%d spans, want those of two calls and one request", got)
		}
	})
}

// Over the wire, with trailers.
func TestRequestsOverTheWire(t *testing.T) {
	var sent atomic.Int64
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sent.Add(1)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "content")
		<-release
		w.Header().Set("X-Sum", "42")
	}))
	defer server.Close()
	p := coalesce.New(coalesce.Config{})
	client := *server.Client()
	client.Transport = pipeline.Must(pipeline.New("test", p)).Transport(client.Transport)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			response, err := client.Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if string(body) != "content" || err != nil || response.Trailer.Get("X-Sum") != "42" {
				t.Errorf("got %q with trailer %v, %v, want content with X-Sum 42", body, response.Trailer, err)
			}
		})
	}
	for waiting := 0.0; waiting < 8; {
		for gauge := range p.Gauges() {
			if gauge.Name == "waiting" {
				waiting = gauge.Value
			}
		}
		time.Sleep(time.Millisecond)
	}
	close(release)
	all.Wait()
	if got := sent.Load(); got != 1 {
		t.Errorf("server saw %d requests, want 1", got)
	}
}
