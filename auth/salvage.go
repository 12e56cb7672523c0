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
	base  http.RoundTripper
	proof string // the header DPoP, if any
	nonce string // the header DPoP-Nonce of the last answer
	body  []byte // of the last answer, if that was good
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// RoundTrip implements [http.RoundTripper].
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	base := r.base
	if base == nil {
		base = http.DefaultTransport
	}
	if r.proof != "" {
		req = req.Clone(req.Context())
		req.Header.Set("DPoP", r.proof)
	}
	response, err := base.RoundTrip(req)
	if response != nil {
		r.nonce = response.Header.Get("DPoP-Nonce")
	}
	if err != nil || response == nil || response.Body == nil || response.StatusCode < 200 || response.StatusCode > 299 {
		return response, err
	}
	defer response.Body.Close()
	if r.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return nil, err // but the answer may be whole all the same
	}
	response.Body = io.NopCloser(bytes.NewReader(r.body))
	return response, nil
}

// salvage returns the token of an answer as far as it can be made out, or nil.
// It may lack all but the refresh token.
func (r *recorder) salvage(sent time.Time) *oauth2.Token {
	var answer struct { // of any types, in any case
		AccessToken  any `json:"access_token"`
		TokenType    any `json:"token_type"`
		RefreshToken any `json:"refresh_token"`
		ExpiresIn    any `json:"expires_in"`
		Error        any `json:"error"`
	}
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(r.body, []byte("\ufeff"))))
	decoder.UseNumber()
	if decoder.Decode(&answer) != nil {
		form, _ := url.ParseQuery(string(r.body)) // which some servers use against the standard
		answer.AccessToken, answer.TokenType = form.Get("access_token"), form.Get("token_type")
		answer.RefreshToken, answer.ExpiresIn = form.Get("refresh_token"), form.Get("expires_in")
		answer.Error = form.Get("error")
	}
	if code, _ := answer.Error.(string); code != "" {
		return nil // whatever else it holds
	}
	token := &oauth2.Token{Expiry: expiry(sent, answer.ExpiresIn)}
	token.AccessToken, _ = answer.AccessToken.(string)
	token.TokenType, _ = answer.TokenType.(string)
	token.RefreshToken, _ = answer.RefreshToken.(string)
	if token.AccessToken == "" && token.RefreshToken == "" {
		return nil
	}
	return token
}
