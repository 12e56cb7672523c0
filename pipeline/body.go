package pipeline

import (
	"io"
	"net/http"
	"sync"
	"time"
)

func hasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody
}

// replayable reports whether req can be sent more than once.
func replayable(req *http.Request) bool {
	return !hasBody(req) || req.GetBody != nil
}

// What is left of a discarded response is read so that its connection can be
// used again, if that is quickly done.
const (
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
)

// drain reads the rest of a response, within limits, and closes it.
func drain(response *http.Response) {
	closeBody := sync.OnceFunc(func() { _ = response.Body.Close() })
	defer closeBody()
	late := time.AfterFunc(drainTime, closeBody)
	defer late.Stop()
	_, _ = io.CopyN(io.Discard, response.Body, drainBytes)
}

// A releasingBody calls release once the body has been read or closed.
type releasingBody struct {
	io.ReadCloser
	release func()
}

func (b *releasingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *releasingBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close()
}

// releasing returns body with release called at its end. If body can be
// written to, as after 101 Switching Protocols, so can the result.
func releasing(body io.ReadCloser, release func()) io.ReadCloser {
	b := &releasingBody{body, release}
	if w, ok := body.(io.Writer); ok {
		return struct {
			*releasingBody
			io.Writer
		}{b, w}
	}
	return b
}
