package benchmarks_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/failsafehttp"
)

// A roundTripper is a network without sockets, for bubbles.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// failsafeJitter repeats requests after Retry-After, with jitter.
func failsafeJitter(base http.RoundTripper) http.RoundTripper {
	return failsafehttp.NewRoundTripper(base, failsafehttp.NewRetryPolicyBuilder().WithJitterFactor(0.5).Build()) //nolint:bodyclose // A builder is no response.
}

// throttled returns a network that answers the first request with the header Retry-After, and later
// ones with 200. It writes down how long after the first the second came.
func throttled(after string, wait *time.Duration) http.RoundTripper {
	var first time.Time
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		response := &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody, Request: req}
		if first.IsZero() {
			first = time.Now()
			response.StatusCode = 429
			response.Header.Set("Retry-After", after)
			return response, nil
		}
		*wait = time.Since(first)
		return response, nil
	})
}

func TestRetryAfterIsNeverShortened(t *testing.T) {
	tests := []struct {
		name   string
		header func() string
		others map[string]transport
	}{
		{
			"seconds, with jitter",
			func() string { return "10" },
			map[string]transport{"failsafe-go": failsafeJitter},
		}, {
			"a date",
			func() string { return time.Now().Add(10 * time.Second).UTC().Format(http.TimeFormat) },
			map[string]transport{"failsafe-go": failsafeTransport},
		}, {
			"more seconds than a Duration holds",
			func() string { return "9223372037" },
			map[string]transport{"failsafe-go": failsafeTransport, "go-retryablehttp": retryableTransport},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.others[ours] = evenkeelTransport
			compare(t, tt.others, func(t *testing.T, through transport) error {
				shortest := time.Duration(-1)
				for range 100 { // as jitter differs each time
					synctest.Test(t, func(t *testing.T) {
						var wait time.Duration
						response, err := through(throttled(tt.header(), &wait)).RoundTrip(newRequest(t, "GET", "https://api.example.com", ""))
						if err != nil || response.StatusCode != 200 {
							t.Fatalf("got %v, %v, want 200", response, err)
						}
						drain(response)
						if shortest < 0 || wait < shortest {
							shortest = wait
						}
					})
				}
				if shortest < 10*time.Second {
					return fmt.Errorf("came again after %v, want at least 10s", shortest)
				}
				return nil
			})
		})
	}
}

func TestRetryAfterTheDeadlineIsNotWaitedFor(t *testing.T) {
	compare(t, map[string]transport{
		ours:               evenkeelTransport,
		"failsafe-go":      failsafeTransport,
		"go-retryablehttp": retryableTransport,
	}, func(t *testing.T, through transport) (broken error) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			response, err := through(throttled("10", new(time.Duration))).RoundTrip(newRequest(t, "GET", "https://api.example.com", "").WithContext(ctx))
			drain(response)
			if took := time.Since(start); took != 0 || err != nil {
				broken = fmt.Errorf("waited %v, in vain, and then returned the error %v, want the response of 429 at once", took, err)
			}
		})
		return broken
	})
}
