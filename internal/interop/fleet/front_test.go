package fleet_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A front stands before the token endpoint. It takes down what passes, and can hold a request back.
type front struct {
	url      string
	endpoint string
	client   *http.Client

	mu        sync.Mutex
	exchanges []exchange
	dropped   int
	next      chan *held // gets the next request, unless nil
}

// An exchange is a token request that has been answered.
type exchange struct {
	replica string
	spent   string // refresh token
	issued  string // the one that takes its place
	code    string // of the error
	at      time.Time
}

// A held request is one that the server does not get before it is decided on.
type held struct {
	replica string
	pass    chan bool // whether the server gets it
}

// distance is how long a request is on its way to the server: longer than it takes replicas to meet.
const distance = 50 * time.Millisecond

func startFront(t *testing.T, endpoint string) *front {
	t.Helper()
	f := &front{endpoint: endpoint, client: &http.Client{Transport: newTransport(t)}}
	f.url = serve(t, f)
	return f
}

// hold holds back the next request.
func (f *front) hold() <-chan *held {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = make(chan *held, 1)
	return f.next
}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || !f.admit(r.Header.Get(replicaHeader)) {
		panic(http.ErrAbortHandler)
	}
	time.Sleep(distance)
	status, answer, err := f.forward(r, string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// admit reports whether the server gets a request, when that is decided.
func (f *front) admit(replica string) bool {
	f.mu.Lock()
	next := f.next
	f.next = nil
	f.mu.Unlock()
	if next == nil {
		return true
	}
	h := &held{replica, make(chan bool, 1)}
	next <- h
	if <-h.pass {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dropped++
	return false
}

// forward hands a request on, whether the replica still waits for the answer or not.
func (f *front) forward(r *http.Request, body string) (status int, answer []byte, err error) {
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, f.endpoint, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header = r.Header.Clone()
	response, err := f.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, err
	}
	return response.StatusCode, answer, f.note(r.Header.Get(replicaHeader), body, answer)
}

func (f *front) note(replica, body string, answer []byte) error {
	form, err := url.ParseQuery(body)
	if err != nil {
		return err
	}
	var a struct {
		RefreshToken string `json:"refresh_token"`
		Error        string `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exchanges = append(f.exchanges, exchange{replica, form.Get("refresh_token"), a.RefreshToken, a.Error, time.Now()})
	return nil
}

// log returns the token requests that have been answered, in order.
func (f *front) log() []exchange {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clip(f.exchanges)
}
