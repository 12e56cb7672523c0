package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An introspector asks an authorization server about tokens over HTTP (RFC 7662).
type introspector struct {
	url, id, secret string

	http *http.Client
}

func newIntrospector(t *testing.T, url, id, secret string) *introspector {
	t.Helper()
	transport := newTransport(t)
	transport.MaxConnsPerHost = 16
	return &introspector{url, id, secret, &http.Client{Transport: transport}}
}

func (i *introspector) inspect(ctx context.Context, token string) (scopes string, active bool, err error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(form.Encode()))
	if err != nil {
		return "", false, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(i.id), url.QueryEscape(i.secret))
	response, err := i.http.Do(request)
	if err != nil {
		return "", false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", false, fmt.Errorf("answered %d, want 200", response.StatusCode)
	}
	var answer struct {
		Active bool
		Scope  string
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.Scope, answer.Active, err
}
