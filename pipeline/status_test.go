package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestStatusError(t *testing.T) {
	tests := []struct {
		code     int
		class    policy.Class
		noEffect bool
	}{
		{401, policy.Unauthenticated, true},
		{403, policy.Permanent, false},
		{408, policy.Transient, false},
		{429, policy.Throttled, true},
		{500, policy.Transient, false},
		{501, policy.Permanent, false},
		{502, policy.Transient, false},
		{503, policy.Transient, false},
		{504, policy.Transient, false},
		{505, policy.Permanent, false},
		{599, policy.Transient, false},
	}
	for _, tt := range tests {
		err := error(&pipeline.StatusError{StatusCode: tt.code})
		if got := policy.ClassOf(err); got != tt.class {
			t.Errorf("class of %v = %v, want %v", err, got, tt.class)
		}
		if got := policy.NoEffect(err); got != tt.noEffect {
			t.Errorf("NoEffect(%v) = %v, want %v", err, got, tt.noEffect)
		}
		if got := policy.ErrorType(err); got != fmt.Sprint(tt.code) {
			t.Errorf("ErrorType(%v) = %q, want %d", err, got, tt.code)
		}
		if got := errors.Is(err, policy.ErrUnauthenticated); got != (tt.code == 401) {
			t.Errorf("errors.Is(%v, %v) = %v", err, policy.ErrUnauthenticated, got)
		}
	}
}

// errorOf returns the error that a response is inside of a pipeline.
func errorOf(t *testing.T, handler http.HandlerFunc) *pipeline.StatusError {
	t.Helper()
	var inside *pipeline.StatusError
	note := policy.New("note", policyFunc(func(err error) error {
		inside, _ = errors.AsType[*pipeline.StatusError](err)
		return err
	}))
	s := serve(t, handler)
	answer(t, s.through(note), request(t, "GET", s.URL+"?secret=canary-query", nil))
	if inside == nil {
		t.Fatal("response was no StatusError inside of the pipeline")
	}
	return inside
}

func TestStatusErrorOfAResponse(t *testing.T) {
	err := errorOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
	})
	if after, ok := policy.RetryAfter(err); after != 7*time.Second || !ok || policy.ClassOf(err) != policy.Throttled {
		t.Errorf("RetryAfter() = %v, %v, class %v, want 7s, true, %v", after, ok, policy.ClassOf(err), policy.Throttled)
	}
	err = errorOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("WWW-Authenticate", `Bearer realm="a"`)
		w.Header().Add("WWW-Authenticate", `DPoP`)
		w.WriteHeader(401)
	})
	if got := fmt.Sprint(err.Challenges()); got != `[Bearer realm="a" DPoP]` {
		t.Errorf("Challenges() = %s, want both", got)
	}
}

func TestNewStatusError(t *testing.T) {
	for _, tt := range []struct {
		code  int
		after string
		want  time.Duration
		class policy.Class
	}{
		{503, "7", 7 * time.Second, policy.Throttled},
		{503, "", 0, policy.Transient},
		{402, "", 0, policy.Permanent},
		{201, "", 0, policy.Permanent}, // where it is not what was wanted
	} {
		response := &http.Response{StatusCode: tt.code, Header: http.Header{"Retry-After": {tt.after}}}
		err := fmt.Errorf("charge: %w", pipeline.NewStatusError(response))
		after, ok := policy.RetryAfter(err)
		if after != tt.want || ok != (tt.want > 0) || policy.ClassOf(err) != tt.class || policy.ErrorType(err) != fmt.Sprint(tt.code) {
			t.Errorf("NewStatusError(%d, %q) = %v of class %v, Retry-After %v, want class %v, %v",
				tt.code, tt.after, err, policy.ClassOf(err), after, tt.class, tt.want)
		}
	}
}

func TestWithFailures(t *testing.T) {
	var inside []string
	note := policy.New("note", policyFunc(func(err error) error {
		inside = append(inside, fmt.Sprint(err))
		return err
	}))
	plain := pipeline.Must(pipeline.New("test", tries(3), note))
	forbidden := plain.WithFailures(403)
	for _, tt := range []struct {
		pipeline *pipeline.Pipeline
		code     int
		want     string
	}{
		{plain, 403, "[<nil>]"},
		{forbidden, 403, "[http status 403 Forbidden]"}, // once: it would be the same again
		{forbidden, 404, "[<nil>]"},
		{forbidden.WithFailures(404, 410), 404, "[http status 404 Not Found]"},
		{forbidden.WithFailures(409), 403, "[http status 403 Forbidden]"},
		{forbidden.WithFailures(409), 404, "[<nil>]"},
	} {
		inside = nil
		s := serve(t, status(tt.code))
		client := *s.Client()
		client.Transport = tt.pipeline.Transport(client.Transport)
		code, body := answer(t, &client, request(t, "GET", s.URL, nil))
		if got := fmt.Sprint(inside); got != tt.want || code != tt.code || body != fmt.Sprint("answer ", tt.code) {
			t.Errorf("%d is %s inside and %d %q outside, want %s and the answer", tt.code, got, code, body, tt.want)
		}
	}
	if (*pipeline.Pipeline)(nil).WithFailures(403) != nil {
		t.Error("a pipeline that is not usable has become another")
	}
}

func TestStatusErrorTellsNothingOfTheResponse(t *testing.T) {
	err := errorOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Secret", "canary-header")
		w.WriteHeader(500)
		_, _ = w.Write([]byte("canary-body"))
	})
	text, jsonErr := json.Marshal(err)
	if jsonErr != nil {
		t.Fatal(jsonErr)
	}
	for _, got := range []string{err.Error(), fmt.Sprintf("%v %+v %#v %+v", err, err, err, *err), string(text)} {
		if strings.Contains(got, "canary") {
			t.Errorf("error prints as %s, want nothing of header, body and query", got)
		}
	}
	if got, want := err.Error(), "http status 500 Internal Server Error"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestStatusErrorHeader(t *testing.T) {
	err := errorOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Request-Id", "CANARY")
		w.WriteHeader(500)
	})
	if err.Header("request-id") != "CANARY" || err.Header("Other") != "" {
		t.Errorf("headers %q and %q, want the response's", err.Header("request-id"), err.Header("Other"))
	}
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "CANARY") {
		t.Errorf("error is %s, want it without the header", text)
	}
	if got := (&pipeline.StatusError{StatusCode: 500}).Header("Request-Id"); got != "" {
		t.Errorf("Header() = %q without a response, want none", got)
	}
}
