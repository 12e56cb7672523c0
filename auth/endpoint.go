package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// An endpoint is a token endpoint and the client that speaks to it.
type endpoint struct {
	tokenURL      string
	clientID      string
	clientSecret  string
	secretFrom    credentialFunc
	assertion     credentialFunc
	authStyle     oauth2.AuthStyle
	dpop          *DPoP
	scopes        []string
	params        url.Values
	httpClient    *http.Client
	allowInsecure bool
}

// request asks for a token with the given form.
func (e endpoint) request(ctx context.Context, form url.Values) (*oauth2.Token, error) {
	maps.Copy(form, e.params)
	if e.secretFrom != nil {
		return e.sendWithSecret(ctx, form)
	}
	return e.send(ctx, form)
}

// send sends form, once more if the server wants a nonce in the proof: it has then
// used up nothing (RFC 9449, section 8).
func (e endpoint) send(ctx context.Context, form url.Values) (*oauth2.Token, error) {
	token, err := e.sendOnce(ctx, form)
	if e.dpop != nil && isAnswer(err, needsNonce) {
		return e.sendOnce(ctx, form)
	}
	return token, err
}

// sendOnce makes one token request: a POST with the given form, the client's
// authentication, and scopes.
func (e endpoint) sendOnce(ctx context.Context, form url.Values) (*oauth2.Token, error) {
	proof, err := e.proof()
	if err != nil {
		return nil, err
	}
	if err := e.addAssertion(ctx, form); err != nil {
		return nil, err
	}
	// The package is for another grant, but lets the form say which.
	config := clientcredentials.Config{
		TokenURL:       e.tokenURL,
		ClientID:       e.clientID,
		ClientSecret:   e.clientSecret,
		AuthStyle:      e.style(),
		Scopes:         e.scopes,
		EndpointParams: form,
	}
	client := e.client()
	answer := &recorder{base: client.Transport, proof: proof}
	client.Transport = answer
	sent := time.Now()
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	e.dpop.learn(originOf(e.tokenURL), answer.nonce)
	if err == nil {
		if at := expiry(sent, token.Extra("expires_in")); !at.IsZero() { // or else its name may have other letters
			token.Expiry = at
		}
		return token, nil
	}
	if _, refused := errors.AsType[*oauth2.RetrieveError](err); !refused {
		// What is malformed for x/oauth2 may still hold the refresh token that takes
		// the place of the one that has just been spent.
		if token := answer.salvage(sent); token != nil {
			return token, nil
		}
	}
	return nil, sanitized(ctx, err)
}

// proof returns a proof for a token request, or the empty string if tokens are not
// bound to a key.
func (e endpoint) proof() (string, error) {
	if e.dpop == nil {
		return "", nil
	}
	return e.dpop.Proof(http.MethodPost, e.tokenURL, "")
}

// client returns a copy of the HTTP client, but one that does not carry the form, and
// with it the secrets, to where a redirect points.
func (e endpoint) client() *http.Client {
	if e.httpClient == nil {
		e.httpClient = http.DefaultClient
	}
	client := *e.httpClient
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// expiry returns when a token expires that says so by the given expires_in.
// The time is counted from before the request was sent, by the monotonic clock.
// A value that makes no sense says that the token has expired.
func expiry(sent time.Time, expiresIn any) time.Time {
	var seconds float64
	switch n := expiresIn.(type) {
	case nil:
		return time.Time{}
	case float64:
		seconds = n
	case int64:
		seconds = float64(n)
	case json.Number:
		seconds, _ = n.Float64()
	case string: // such as PayPal's
		if n == "" {
			return time.Time{}
		}
		seconds, _ = strconv.ParseFloat(n, 64)
	}
	if !(seconds > 0) || seconds >= 1<<63 { // nor NaN
		return sent
	}
	return sent.Add(time.Duration(min(seconds, maxLifetime) * float64(time.Second)))
}

func (e endpoint) validate() error {
	var errs []error
	if err := validateTokenURL(e.tokenURL, e.allowInsecure); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, e.validateClient()...)
	for _, scope := range e.scopes {
		if scope == "" || !isPrintable(scope) || strings.ContainsAny(scope, ` "\`) {
			errs = append(errs, fmt.Errorf("invalid Scopes element %q: want one scope (RFC 6749, section 3.3)", scope))
		}
	}
	for _, name := range e.ownParams() {
		if e.params.Has(name) {
			errs = append(errs, fmt.Errorf("invalid Params element %q: want only what no other field stands for", name))
		}
	}
	return errors.Join(errs...)
}

func validateTokenURL(s string, allowInsecure bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Host == "", u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("invalid TokenURL %q: want one such as %q", shownURL(s), "https://login.example.com/token")
	case u.User != nil, u.Fragment != "":
		return fmt.Errorf("invalid TokenURL %q: want it without user name, password and fragment", shownURL(s))
	case !allowInsecure && insecure(s):
		return fmt.Errorf("invalid TokenURL %q: want https, loopback, or AllowInsecure", shownURL(s))
	}
	return nil
}
