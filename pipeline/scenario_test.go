package pipeline_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// A scenario is something that happens to calls, in a bubble of time.
type scenario struct {
	name string // of its golden file
	play func(*stage)
}

// scenarios are all that policies can have happen to calls.
func scenarios() []scenario {
	return slices.Concat(retryScenarios, hedgeScenarios, breakerScenarios, limitScenarios, loadScenarios, answerScenarios, authScenarios, fleetScenarios, otherScenarios)
}

// TestScenarios compares the traces of all scenarios with the golden files.
func TestScenarios(t *testing.T) {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name+".txt")
		t.Run(s.name, func(t *testing.T) {
			file := filepath.Join("testdata", s.name+".txt")
			got := outline(played(t, s).spans.Started(), everything)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("trace is\n%s\nwant that of %s\n%s", got, file, want)
			}
		})
	}
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(names, file.Name()) {
			t.Errorf("testdata/%s is of no scenario", file.Name())
		}
	}
}

// played plays a scenario and returns what was told of it.
func played(t *testing.T, s scenario) *signals {
	t.Helper()
	at := &stage{signals: &signals{}}
	synctest.Test(t, func(t *testing.T) {
		at.T = t
		s.play(at)
		synctest.Wait()
		at.measured = collected(t, at.reader)
	})
	if started, ended := len(at.spans.Started()), len(at.spans.Ended()); started != ended {
		t.Errorf("%d spans started and %d ended", started, ended)
	}
	return at.signals
}

// A stage is what a scenario is played on.
type stage struct {
	*testing.T
	*signals
	p *pipeline.Pipeline
}

// set makes the pipeline that calls go through.
func (s *stage) set(policies ...policy.Policy) {
	s.p, s.signals = overheard(pipeline.Must(pipeline.New("orders", policies...)))
}

// get has a request made that is answered by replies.
func (s *stage) get(replies ...reply) { s.send(s.Context(), http.MethodGet, replies...) }

func (s *stage) send(ctx context.Context, method string, replies ...reply) {
	req := request(s, method, "https://user:canary@api.example.com/orders/7?key=canary", nil)
	req = req.WithContext(pipeline.WithCallName(ctx, "GetOrder"))
	response, err := s.p.Transport(&script{replies: replies}).RoundTrip(req)
	if err == nil {
		_ = response.Body.Close()
	}
}

// A script is a base transport that replies to each request with the next reply,
// and with the last one from then on.
type script struct {
	mu      sync.Mutex
	replies []reply
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	next := s.replies[0]
	if len(s.replies) > 1 {
		s.replies = s.replies[1:]
	}
	s.mu.Unlock()
	return next(req)
}

// A reply is what becomes of a request.
type reply func(*http.Request) (*http.Response, error)

// replied returns the reply of a status, after a while.
func replied(code int, header ...string) reply {
	return func(*http.Request) (*http.Response, error) {
		time.Sleep(30 * time.Millisecond)
		response := &http.Response{StatusCode: code, Header: make(http.Header), Body: http.NoBody}
		for _, field := range header {
			name, value, _ := strings.Cut(field, ": ")
			response.Header.Add(name, value)
		}
		return response, nil
	}
}

// failed returns the reply of an error, after a while.
func failed(err error) reply {
	return func(*http.Request) (*http.Response, error) {
		time.Sleep(30 * time.Millisecond)
		return nil, err
	}
}

// hanging is no reply at all.
func hanging(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

var (
	ok          = replied(200)
	unavailable = replied(503, "Retry-After: 1")
	cutOff      = failed(io.ErrUnexpectedEOF)
)

// steady retries after delays that are not drawn.
func steady(attempts int) *retry.Policy {
	return retry.New(retry.Config{MaxAttempts: attempts, Jitter: retry.NoJitter})
}
