package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// call makes some call, in a goroutine that may not return from it.
func (s *storm) call() {
	id := fmt.Sprint("call ", s.made.Add(1))
	ctx, cancel := impatient()
	defer cancel()
	// Tenants come and go, as the tokens of one are replaced only so often.
	tenant := fmt.Sprint("tenant-", time.Now().Unix()*2+rand.Int64N(2))
	ctx = context.WithValue(ctx, tenantKey{}, tenant)
	if chance(20) {
		id = fmt.Sprint("shared ", tenant, " ", time.Now().UnixMilli()/100) // by all who call just now
		ctx = context.WithValue(ctx, sharedKey{}, id)
	}
	began, how := time.Now(), "exited"
	var call sync.WaitGroup
	call.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				how = "panicked"
				if v != any(errPanic) {
					s.problems.addf("%s panicked with %v", id, v)
				}
			}
			s.took(time.Since(began))
			s.count(how)
		}()
		if chance(70) {
			how = s.request(ctx, id)
		} else {
			how = s.function(ctx, id)
		}
	})
	call.Wait()
}

// impatient returns the context of a caller that may leave soon, or has a deadline.
func impatient() (context.Context, context.CancelFunc) {
	if chance(20) {
		return context.WithTimeout(context.Background(), upTo(2*attemptLimit))
	}
	ctx, cancel := context.WithCancel(context.Background())
	if chance(20) {
		time.AfterFunc(upTo(2*attemptLimit), cancel)
	}
	return ctx, cancel
}

func (s *storm) count(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[how]++
}

func (s *storm) took(d time.Duration) {
	for {
		longest := s.longest.Load()
		if int64(d) <= longest || s.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

// request makes an HTTP request, reads the answer, or some of it, and returns how that ended.
func (s *storm) request(ctx context.Context, id string) string {
	req := s.newRequest(ctx, id)
	response, err := s.client.Do(req)
	if err != nil {
		return "failed: " + policy.ClassOf(err).String()
	}
	defer response.Body.Close()
	how := fmt.Sprintf("answered: %d", response.StatusCode)
	if chance(10) {
		return how // without having read it
	}
	text, err := io.ReadAll(response.Body)
	s.checkAnswer(ctx, id, response, string(text), err)
	return how
}

// newRequest returns a request of some kind.
func (s *storm) newRequest(ctx context.Context, id string) *http.Request {
	method := []string{"GET", "GET", "PUT", "POST"}[rand.IntN(4)]
	if sharedID(ctx) != "" {
		method = "GET" // others would be as many as there are callers
	}
	var body io.Reader
	if method != "GET" {
		body = strings.NewReader(id)
		if chance(30) {
			body = newBody(io.NopCloser(body), &s.uploads) // cannot be sent twice
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.server.URL, body)
	if err != nil {
		panic(err) // it is well-formed
	}
	if method == "POST" && chance(30) {
		req.Header.Set("Idempotency-Key", id)
	}
	req.Header.Set(idHeader, id)
	req.Header.Set(tenantHeader, tenantOf(ctx))
	return req
}

// checkAnswer checks that an answer is the request's own, and whole if the server sent all of it.
func (s *storm) checkAnswer(ctx context.Context, id string, response *http.Response, text string, err error) {
	fault, got := response.Header.Get(faultHeader), response.Header.Get(idHeader)
	switch {
	case got == "": // malformed, or the fallback's
	case got != id:
		s.problems.addf("%s got the answer to %s", id, got)
	case err == nil && strings.ReplaceAll(text, id, "") != "":
		s.problems.addf("%s got an answer, to %q, that is not its own", id, fault)
	case err != nil && !left(ctx) && fault != "truncated body":
		s.problems.addf("%s: the body of the answer to %q was cut off: %v", id, fault, err)
	}
}

// left reports whether the caller has left, or is about to: the timers of several contexts with one
// deadline do not fire all at once.
func left(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) < 10*time.Millisecond
}

// function makes a call of a function, and returns how that ended.
func (s *storm) function(ctx context.Context, id string) string {
	call := policy.Call{Name: "function", Key: functions[rand.IntN(len(functions))], Once: chance(50)}
	var mu sync.Mutex // hedges run at a time
	runs, effects := 0, 0
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		// Each attempt may be hedged, and auth makes it once more after a refusal of the token.
		if runs > 2*2*maxAttempts || call.Once && effects > 1 {
			s.problems.addf("%s ran %d times and took effect %d times, once is %v", id, runs, effects, call.Once)
		}
	}()
	got, err := pipeline.RunCall(ctx, s.pipeline, call, func(ctx context.Context, _ policy.Call) (string, error) {
		count := func(n *int) {
			mu.Lock()
			defer mu.Unlock()
			*n++
		}
		count(&runs)
		if err := s.work(ctx); err != nil {
			if !policy.NoEffect(err) && policy.ClassOf(err) != policy.Unauthenticated {
				count(&effects)
			}
			return "", err
		}
		count(&effects)
		return id, nil
	})
	switch {
	case err != nil:
		return "failed: " + policy.ClassOf(err).String()
	case got == sorry:
		return "fell back"
	case got != id:
		s.problems.addf("%s got the result %q", id, got)
	}
	return "returned"
}

// work takes a while, and may fail in any way.
func (s *storm) work(ctx context.Context) error {
	if !s.bad.Load() {
		return nil
	}
	if err := policy.Sleep(ctx, upTo(attemptLimit)/4); err != nil {
		return err
	}
	switch n := rand.IntN(40); {
	case n == 0:
		leave()
	case n < 10:
		return policy.WithClass(fmt.Errorf("soak: failure %d", n), policy.Class(n%int(policy.Rejected+1)))
	case n == 11:
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return nil
}
