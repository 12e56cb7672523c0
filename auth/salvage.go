package auth

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// A recorder is a transport that keeps what was answered.
type recorder struct {
	base http.RoundTripper
	body []byte // of the last answer, if that was good
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	base := r.base
	if base == nil {
		base = http.DefaultTransport
	}
	response, err := base.RoundTrip(req)
	if err != nil || response.StatusCode < 200 || response.StatusCode > 299 {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	r.body = body
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// salvage returns the token of an answer as far as it can be made out, or nil.
// It may lack all but the refresh token.
func (r *recorder) salvage(sent time.Time) *oauth2.Token {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(r.body))
	decoder.UseNumber()
	if decoder.Decode(&fields) != nil {
		fields = formFields(string(r.body))
	}
	text := func(name string) string {
		s, _ := fields[name].(string)
		return s
	}
	token := &oauth2.Token{
		AccessToken:  text("access_token"),
		TokenType:    text("token_type"),
		RefreshToken: text("refresh_token"),
		Expiry:       expiry(sent, fields["expires_in"]),
	}
	if token.AccessToken == "" && token.RefreshToken == "" {
		return nil
	}
	return token
}

// formFields returns the fields of an answer in the way of forms, which some
// servers use against the standard.
func formFields(body string) map[string]any {
	values, _ := url.ParseQuery(body)
	fields := make(map[string]any, len(values))
	for name := range values {
		fields[name] = values.Get(name)
	}
	return fields
}
