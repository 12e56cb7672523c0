package interop_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
)

// A wire is the way of a policy's token requests to the server. It takes note of the refresh
// tokens that come back, and can be told to fail once.
type wire struct {
	base http.RoundTripper

	mu            sync.Mutex
	before, after func() error
	refreshTokens []string
}

// failBefore has the next request fail before it is sent.
func (w *wire) failBefore(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = func() error { return err }
}

// failAfter has the next answer lost if f, which is called when it is there, returns an error.
func (w *wire) failAfter(f func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.after = f
}

// last returns the refresh token that the server has sent last.
func (w *wire) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refreshTokens[len(w.refreshTokens)-1]
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	before, after := w.faults()
	if before != nil {
		_ = r.Body.Close()
		return nil, before()
	}
	response, err := w.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	w.note(body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	if after != nil {
		if err := after(); err != nil {
			return nil, err
		}
	}
	return response, nil
}

func (w *wire) faults() (before, after func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, after = w.before, w.after
	w.before, w.after = nil, nil
	return before, after
}

func (w *wire) note(body []byte) {
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.RefreshToken == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refreshTokens = append(w.refreshTokens, answer.RefreshToken)
}
