package policy_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func ExampleNew() {
	logging := policy.New("log", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		err := next(ctx, call)
		fmt.Println(call.Name, "ended with", err)
		return err
	})

	operation := func(context.Context, policy.Call) error { return errors.New("out of stock") }
	_ = logging.Do(context.Background(), policy.Call{Name: "orders.place"}, operation)
	// Output: orders.place ended with out of stock
}

// A policy that signs every request, with the time of day in it, so that none of
// them can be sent again by somebody else.
func ExampleCall_WithHeaderFunc() {
	secret := []byte("swordfish")
	mac := func(text string) string {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(text))
		return base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	sign := func(method, url string) (string, error) {
		now := time.Now().UTC().Format(time.RFC3339Nano)
		return now + " " + mac(method+" "+url+" "+now), nil
	}
	signing := policy.New("signing", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		return next(ctx, call.WithHeaderFunc("X-Signature", sign))
	})

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now, signature, _ := strings.Cut(r.Header.Get("X-Signature"), " ")
		want := mac(r.Method + " http://" + r.Host + r.URL.String() + " " + now)
		fmt.Println(r.Method, r.URL, "signed:", hmac.Equal([]byte(signature), []byte(want)))
	}))
	defer server.Close()
	p := pipeline.Must(pipeline.New("orders", signing))
	client := &http.Client{Transport: p.Transport(nil)}
	response, err := client.Get(server.URL + "/orders?page=2")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode)
	// Output:
	// GET /orders?page=2 signed: true
	// 200
}

func TestNewWithoutFunction(t *testing.T) {
	p := policy.New("log", nil)
	if err := p.(interface{ Validate() error }).Validate(); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("Validate() = %v, want an error that names nil", err)
	}
	if err := p.Do(t.Context(), policy.Call{}, nil); policy.ClassOf(err) != policy.Permanent {
		t.Errorf("Do() = %v, want a permanent error", err)
	}
}

func TestHeader(t *testing.T) {
	outer := policy.Call{}.WithHeader("A", "1").WithHeader("B", "2")
	left, right := outer.WithHeader("A", "left"), outer.WithHeader("C", "right")
	for _, tt := range []struct {
		call policy.Call
		want string
	}{
		{policy.Call{}, ""},
		{outer, "A=1 B=2 "},
		{left, "A=1 B=2 A=left "},
		{right, "A=1 B=2 C=right "},
	} {
		var got strings.Builder
		for name, value := range tt.call.Header() {
			fmt.Fprintf(&got, "%s=%s ", name, value)
		}
		if got.String() != tt.want {
			t.Errorf("Header() = %q, want %q", got.String(), tt.want)
		}
	}
	for name := range outer.Header() {
		if name != "A" {
			t.Errorf("first header = %q, want %q", name, "A")
		}
		break // must not go on
	}
}

func TestHeaderFields(t *testing.T) {
	sign := func(method, url string) (string, error) { return method + " " + url, nil }
	call := policy.Call{}.WithHeader("A", "1").WithHeaderFunc("B", sign).WithHeader("C", "3")
	for _, tt := range []struct {
		call       policy.Call
		want       string
		wantHeader string
	}{
		{policy.Call{}, "", ""},
		{call, "C=3 B=GET https://x.example A=1 ", "A=1 C=3 "},
		{call.WithHeader("b", "2"), "b=2 C=3 A=1 ", "A=1 C=3 b=2 "},
		{call.WithHeaderFunc("a", sign), "a=GET https://x.example C=3 B=GET https://x.example ", "A=1 C=3 "},
	} {
		var got, gotHeader strings.Builder
		for field := range tt.call.HeaderFields() {
			value := field.Value
			if field.Func != nil {
				value, _ = field.Func("GET", "https://x.example")
			}
			fmt.Fprintf(&got, "%s=%s ", field.Name, value)
		}
		for name, value := range tt.call.Header() {
			fmt.Fprintf(&gotHeader, "%s=%s ", name, value)
		}
		if got.String() != tt.want || gotHeader.String() != tt.wantHeader {
			t.Errorf("HeaderFields() = %q, Header() = %q, want %q and %q", &got, &gotHeader, tt.want, tt.wantHeader)
		}
	}
	for field := range call.HeaderFields() {
		if field.Name != "C" {
			t.Errorf("first field = %q, want %q", field.Name, "C")
		}
		break // must not go on
	}
}

func TestCallWithoutEngine(t *testing.T) {
	var call policy.Call
	call.Emit(t.Context(), "test.emitted", slog.Int("n", 1)) // must not panic
	ctx, end := call.Step(t.Context(), "step")
	end(nil)
	if ctx != t.Context() {
		t.Error("Step() changed the context")
	}
	if !call.Accepts("Authorization") {
		t.Error("Accepts() = false, want true")
	}
	if err := call.Resolve(1); err == nil {
		t.Error("Resolve() = nil, want an error")
	}
}

// A recorder notes what is said about a call.
type recorder struct {
	mu   sync.Mutex
	said []string
}

func (r *recorder) say(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
}

func (r *recorder) Emit(_ context.Context, event policy.Event) {
	r.say(fmt.Sprint(event.Name, event.Attrs))
}

func (r *recorder) Step(ctx context.Context, _ policy.Call, name string, attrs []slog.Attr) (context.Context, func(error)) {
	r.say(fmt.Sprint("begin ", name, attrs))
	return ctx, func(err error) { r.say(fmt.Sprint("end ", name, " ", err)) }
}

func TestRecorder(t *testing.T) {
	r := new(recorder)
	call := policy.Call{}.WithRecorder(r)
	call.Emit(t.Context(), "cache.missed", slog.Int("size", 3))
	_, end := call.Step(t.Context(), "fill", slog.String("from", "disk"))
	end(errors.New("no disk"))
	got, want := strings.Join(r.said, "\n"), "cache.missed[size=3]\nbegin fill[from=disk]\nend fill no disk"
	if got != want {
		t.Errorf("recorder heard\n%s\nwant\n%s", got, want)
	}
}

func TestWait(t *testing.T) {
	errLeft := errors.New("left")
	tests := []struct {
		name   string
		wait   time.Duration
		cancel time.Duration // negative: before the wait
		took   time.Duration
		want   error
	}{
		{"passes", time.Second, time.Minute, time.Second, nil},
		{"is none", 0, time.Minute, 0, nil},
		{"is less than none", -time.Second, time.Minute, 0, nil},
		{"ends with the context", time.Minute, time.Second, time.Second, errLeft},
		{"does not begin after the context", time.Minute, -1, 0, errLeft},
		{"is none after the context", 0, -1, 0, errLeft},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.cancel < 0 {
					cancel(errLeft)
				} else {
					defer time.AfterFunc(tt.cancel, func() { cancel(errLeft) }).Stop()
				}
				start := time.Now()
				err := new(policy.Call).Wait(ctx, tt.wait, "wait")
				if took := time.Since(start); took != tt.took || !errors.Is(err, tt.want) {
					t.Errorf("Wait() = %v after %v, want %v after %v", err, took, tt.want, tt.took)
				}
			})
		})
	}
}

func TestEmitIsFreeIfNobodyListens(t *testing.T) {
	ctx := t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		new(policy.Call).Emit(ctx, "test.emitted", slog.Int("n", 1), slog.Duration("d", time.Second))
	})
	if allocs != 0 {
		t.Errorf("Emit() makes %v allocations, want 0", allocs)
	}
}

func TestCallIsQuickToCopy(t *testing.T) {
	if size := reflect.TypeFor[policy.Call]().Size(); size%(2*reflect.TypeFor[uintptr]().Size()) != 0 {
		t.Errorf("a Call has %d bytes, want an even number of words", size)
	}
}
