package examples_test

import (
	"context"
	"flag"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
	"github.com/evenkeel-go/evenkeel/waterfall"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pipeline.Must(pipeline.New("orders", retry.New(retry.Config{Jitter: retry.NoJitter})))
		base := answers(503, 200)

		spans := tracetest.NewSpanRecorder()
		p = p.WithTracerProvider(waterfall.Log(t, sdktrace.WithSpanProcessor(spans))) // go test shows the traces of a test that fails
		getOrder(t, p.Transport(base))
		want := `GetOrder
  retry: recovered
    GET ✗
    backoff after 503
    GET
`
		if got := waterfall.Outline(spans.Ended()); got != want {
			t.Errorf("trace is\n%s\nwant\n%s", got, want)
		}
	})
}

// What a waterfall shows of our own spans: package waterfall knows their attributes
// by name only.
func TestWaterfall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := auth.New(auth.Config{Source: new(source)})
		p := pipeline.Must(pipeline.New("orders",
			timeout.New(timeout.Config{Name: "total"}),
			retry.New(retry.Config{MaxAttempts: 3, Jitter: retry.NoJitter}),
			breaker.New(breaker.Config{ConsecutiveFailures: 3, Probes: 1, OpenFor: time.Second}),
			tokens,
			timeout.New(timeout.Config{Name: "attempt", Limit: 200 * time.Millisecond}),
		))
		spans := tracetest.NewSpanRecorder()
		p = p.WithTracerProvider(waterfall.Log(t, sdktrace.WithSpanProcessor(spans)))
		transport := p.Transport(answers(401, 503, hangs, 200, hangs, hangs, hangs, 200, 200))

		getOrder(t, transport) // its token is refused, and then it has to wait
		getOrder(t, transport) // opens the circuit
		getOrder(t, transport) // is rejected
		time.Sleep(time.Minute)
		getOrder(t, transport) // closes the circuit
		time.Sleep(50 * time.Minute)
		getOrder(t, transport) // has the token renewed
		synctest.Wait()
		if err := tokens.Close(t.Context()); err != nil {
			t.Error(err)
		}

		got := waterfall.Format(spans.Ended(), waterfall.Config{})
		if *update {
			if err := os.WriteFile("testdata/waterfall.golden", []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/waterfall.golden")
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func getOrder(t *testing.T, transport http.RoundTripper) {
	t.Helper()
	ctx := pipeline.WithCallName(t.Context(), "GetOrder")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.com/orders/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := transport.RoundTrip(req); err == nil {
		response.Body.Close()
	}
}

// A source issues tokens that live for an hour.
type source struct{ calls int }

func (s *source) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	s.calls++
	time.Sleep(20 * time.Millisecond)
	return &oauth2.Token{AccessToken: string(rune('A' + s.calls)), Expiry: time.Now().Add(time.Hour)}, nil
}

const hangs = -1

// answers returns a transport that answers each request with the next status.
func answers(codes ...int) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		code := codes[0]
		codes = codes[1:]
		if code == hangs {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		time.Sleep(30 * time.Millisecond)
		header := make(http.Header)
		if code == http.StatusServiceUnavailable {
			header.Set("Retry-After", "1")
		}
		return &http.Response{StatusCode: code, Header: header, Body: http.NoBody}, nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
