package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evenkeel-go/evenkeel/examples/internal/api"
	"github.com/evenkeel-go/evenkeel/internal/idp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOrder(t *testing.T) {
	s := start(t, api.Config{})
	answer := get(t, s, "")
	var got api.Order
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil {
		t.Fatal(err)
	}
	if want := (api.Order{ID: "42", Status: "shipped"}); got != want {
		t.Errorf("got order %v, want %v", got, want)
	}
	if got, want := answer.Header.Get("Content-Type"), "application/json"; got != want {
		t.Errorf("Content-Type is %q, want %q", got, want)
	}
}

func TestScript(t *testing.T) {
	s := start(t, api.Config{})
	tests := []struct {
		name       string
		fault      api.Fault
		status     int
		retryAfter string
		challenge  string
	}{
		{"503", api.Unavailable(0), 503, "", ""},
		{"503 with Retry-After", api.Unavailable(1500 * time.Millisecond), 503, "2", ""},
		{"429 with Retry-After", api.TooManyRequests(time.Second), 429, "1", ""},
		{"401", api.Unauthorized, 401, "", `Bearer realm="orders", error="invalid_token"`},
		{"slow", api.Stall(time.Millisecond), 200, "", ""},
		{"after the script", nil, 200, "", ""},
	}
	for _, tt := range tests {
		if tt.fault != nil {
			s.Fail(tt.fault)
		}
	}
	for _, tt := range tests {
		answer := get(t, s, "")
		if answer.StatusCode != tt.status {
			t.Errorf("%s: status is %d, want %d", tt.name, answer.StatusCode, tt.status)
		}
		if got := answer.Header.Get("Retry-After"); got != tt.retryAfter {
			t.Errorf("%s: Retry-After is %q, want %q", tt.name, got, tt.retryAfter)
		}
		if got := answer.Header.Get("WWW-Authenticate"); got != tt.challenge {
			t.Errorf("%s: WWW-Authenticate is %q, want %q", tt.name, got, tt.challenge)
		}
	}
	if got, want := s.Requests(), len(tests); got != want {
		t.Errorf("Requests() = %d, want %d", got, want)
	}
}

func TestResetIsSeenEveryTime(t *testing.T) {
	s := start(t, api.Config{})
	for range 20 {
		get(t, s, "")
		s.Fail(api.Reset)
		if _, err := send(t.Context(), s, ""); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got error %v, want %v", err, syscall.ECONNRESET)
		}
	}
	if got, want := s.Requests(), 40; got != want {
		t.Errorf("Requests() = %d, want %d", got, want)
	}
}

func TestStallEndsWithTheClient(t *testing.T) {
	ended := make(chan struct{})
	s := start(t, api.Config{})
	s.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer close(ended)
		api.Stall(0)(w, r, next)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := send(ctx, s, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want %v", err, context.DeadlineExceeded)
	}
	<-ended
}

func TestCloseEndsStalls(t *testing.T) {
	s := start(t, api.Config{})
	s.Fail(api.Stall(0))
	failed := make(chan error)
	go func() {
		_, err := send(t.Context(), s, "")
		failed <- err
	}()
	for s.Requests() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close()
	if err := <-failed; err == nil {
		t.Error("a stalled request was answered, want an error")
	}
}

func TestOutage(t *testing.T) {
	s := start(t, api.Config{})
	s.Fail(api.TooManyRequests(0))
	begin := time.Now()
	s.Outage(time.Hour, api.Unavailable(0))
	for range 3 {
		if got := get(t, s, "").StatusCode; got != 503 {
			t.Errorf("status in the outage is %d, want 503", got)
		}
	}
	s.Outage(50*time.Millisecond, api.Reset)
	for {
		answer, err := send(t.Context(), s, "")
		if errors.Is(err, syscall.ECONNRESET) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 429 {
			t.Errorf("status after the outage is %d, want 429, as the script says", answer.StatusCode)
		}
		break
	}
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("the outage took %v, want at least 50ms", took)
	}
}

func TestDownAndUp(t *testing.T) {
	s := start(t, api.Config{})
	for range 2 {
		s.Down()
		if _, err := send(t.Context(), s, ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error of a server that is down is %v, want %v", err, syscall.ECONNREFUSED)
		}
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "").StatusCode; got != 200 {
			t.Errorf("status of a server that is up again is %d, want 200", got)
		}
	}
	if err := s.Up(); err == nil {
		t.Error("Up() = nil of a server that is up, want an error")
	}
	s.Down()
	s.Close()
}

func TestWrap(t *testing.T) {
	var seen []int
	s := start(t, api.Config{Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, r)
			seen = append(seen, recorder.Code)
		})
	}})
	s.Fail(api.Unavailable(0))
	get(t, s, "")
	get(t, s, "")
	if want := []int{503, 200}; !slices.Equal(seen, want) {
		t.Errorf("wrapped handler answered %d, want %d", seen, want)
	}
}

func TestAuthorization(t *testing.T) {
	tests := []struct {
		name          string
		authorization string
		err           error
		status        int
		challenge     string
	}{
		{"good", "Bearer good", nil, 200, ""},
		{"scheme in lower case", "bearer good", nil, 200, ""},
		{"none", "", nil, 401, `Bearer realm="orders"`},
		{"another scheme", "Basic Z29vZA==", nil, 401, `Bearer realm="orders"`},
		{"not good", "Bearer bad", idp.ErrInvalidToken, 401, `Bearer realm="orders", error="invalid_token"`},
		{"not verified", "Bearer bad", io.ErrUnexpectedEOF, 503, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, api.Config{Verify: func(_ context.Context, token string) error {
				if token == "good" {
					return nil
				}
				return tt.err
			}})
			answer := get(t, s, tt.authorization)
			if answer.StatusCode != tt.status {
				t.Errorf("status is %d, want %d", answer.StatusCode, tt.status)
			}
			if got := answer.Header.Get("WWW-Authenticate"); got != tt.challenge {
				t.Errorf("WWW-Authenticate is %q, want %q", got, tt.challenge)
			}
		})
	}
}

func TestTokensOfTheProvider(t *testing.T) {
	provider, err := idp.Start(idp.Config{AccessTokenLifetime: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	s := start(t, api.Config{Verify: provider.Verify})

	check := func(token string, want int) {
		t.Helper()
		if got := get(t, s, "Bearer "+token).StatusCode; got != want {
			t.Errorf("status is %d, want %d", got, want)
		}
	}
	revoked, err := provider.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check(revoked.AccessToken, 200)
	provider.RevokeAccessTokens()
	check(revoked.AccessToken, 401)

	expiring, err := provider.Grant(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check(expiring.AccessToken, 200)
	time.Sleep(time.Until(expiring.Expiry) + 20*time.Millisecond)
	check(expiring.AccessToken, 401)

	provider.Close()
	check(expiring.AccessToken, 503)
}

func TestConcurrently(t *testing.T) {
	s := start(t, api.Config{})
	const calls, faults = 100, 30
	for range faults {
		s.Fail(api.Unavailable(0))
	}
	var mu sync.Mutex
	statuses := make(map[int]int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range calls / 4 {
				answer, err := send(t.Context(), s, "")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				statuses[answer.StatusCode]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if statuses[503] != faults || statuses[200] != calls-faults {
		t.Errorf("statuses are %v, want %d times 503 and %d times 200", statuses, faults, calls-faults)
	}
}

func start(t *testing.T, config api.Config) *api.Server {
	t.Helper()
	s, err := api.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

type response struct {
	*http.Response

	body string
}

func get(t *testing.T, s *api.Server, authorization string) response {
	t.Helper()
	answer, err := send(t.Context(), s, authorization)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func send(ctx context.Context, s *api.Server, authorization string) (response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/orders/42", nil)
	if err != nil {
		return response{}, err
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return response{answer, strings.TrimSpace(string(body))}, err
}
