package pipeline_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
)

func TestIdempotencyKeyMakesRequestsRepeatable(t *testing.T) {
	tests := []struct {
		name, method, own, key string
		want                   []string // the keys that the server was sent
	}{
		{"post", http.MethodPost, "", "order/17/1", []string{"order/17/1", "order/17/1"}},
		{"patch", http.MethodPatch, "", "order/17/1", []string{"order/17/1", "order/17/1"}},
		{"no key", http.MethodPost, "", "", []string{""}},
		{"the caller's own", http.MethodPost, "mine", "order/17/1", []string{"mine", "mine"}},
		{"idempotent by its method", http.MethodPut, "", "order/17/1", []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				keys = append(keys, req.Header.Get("Idempotency-Key"))
				w.WriteHeader(http.StatusInternalServerError)
			}))
			defer server.Close()
			p := pipeline.Must(pipeline.New("orders", retry.New(retry.Config{MaxAttempts: 2, InitialInterval: time.Millisecond})))
			ctx := pipeline.WithIdempotencyKey(t.Context(), tt.key)
			req, err := http.NewRequestWithContext(ctx, tt.method, server.URL, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			if tt.own != "" {
				req.Header.Set("Idempotency-Key", tt.own)
			}
			response, err := p.Transport(nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if !slices.Equal(keys, tt.want) {
				t.Errorf("server was sent keys %q, want %q", keys, tt.want)
			}
		})
	}
}

func TestIdempotencyKeyIsForOneRequest(t *testing.T) {
	var inner string
	p := pipeline.Must(pipeline.New("orders", retry.New(retry.Config{})))
	transport := p.Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
		inner = pipeline.IdempotencyKey(req.Context())
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}))
	ctx := pipeline.WithIdempotencyKey(t.Context(), "order/17/1")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://orders.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if inner != "" {
		t.Errorf("IdempotencyKey() below the transport = %q, want none", inner)
	}
}
