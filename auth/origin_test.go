package auth_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// An operation is one that accepts no headers but those that it lists.
type operation struct{ accepts string }

func (o operation) Do(context.Context, policy.Call) error { return nil }
func (o operation) Resolve(any) error                     { return nil }
func (o operation) Accepts(header string) bool            { return header == o.accepts }

func TestAuth36HeaderAndPrefix(t *testing.T) {
	tests := []struct {
		config auth.Config
		header string
		want   string
	}{
		{auth.Config{}, "Authorization", "Bearer AT"},
		{auth.Config{Prefix: "Token "}, "Authorization", "Token AT"},
		{auth.Config{Header: "X-Api-Key"}, "X-Api-Key", "AT"},
		{auth.Config{Header: "X-Vault", Prefix: "token"}, "X-Vault", "token AT"},
	}
	for _, tt := range tests {
		tt.config.Source = auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "AT"}))
		err := auth.New(tt.config).Do(t.Context(), testCall, func(_ context.Context, call policy.Call) error {
			n := 0
			for range call.Header() {
				n++
			}
			if got := headerOf(call, tt.header); got != tt.want || n != 1 {
				t.Errorf("%s: %q, one of %d headers, want only %q", tt.header, got, n, tt.want)
			}
			return nil
		})
		if err != nil {
			t.Errorf("Do() = %v, want nil", err)
		}
	}
}

func TestAuth36Inject(t *testing.T) {
	type key struct{}
	p := auth.New(auth.Config{
		Source: auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "AT", TokenType: "bot", RefreshToken: "RT"})),
		Inject: func(ctx context.Context, call policy.Call, token *oauth2.Token) (context.Context, policy.Call) {
			return context.WithValue(ctx, key{}, token), call.WithHeader("X-Signed-By", "test")
		},
	})
	err := p.Do(t.Context(), testCall, func(ctx context.Context, call policy.Call) error {
		token, _ := ctx.Value(key{}).(*oauth2.Token)
		if token == nil || token.AccessToken != "AT" || token.RefreshToken != "" {
			t.Errorf("token %+v, want AT without the refresh token", token)
		}
		if headerOf(call, "Authorization") != "" || headerOf(call, "X-Signed-By") != "test" {
			t.Error("want the headers that Inject adds and no others")
		}
		return nil
	})
	if err != nil {
		t.Errorf("Do() = %v, want nil", err)
	}
}

func TestAuth37CredentialsOfTheCaller(t *testing.T) {
	as, rs := &server{}, &api{refuses: refuse("")}
	call := testCall.WithOperation(operation{})
	if err := as.policy().Do(t.Context(), call, rs.do); err != policy.ErrUnauthenticated || as.count() != 0 || len(rs.calls) != 1 {
		t.Errorf("Do() = %v after %d token requests and %d calls, want the refusal after 0 and 1", err, as.count(), len(rs.calls))
	}
	call = testCall.WithOperation(operation{"Authorization"})
	if err := as.policy().Do(t.Context(), call, rs.do); err != nil || as.count() != 1 {
		t.Errorf("accepted: Do() = %v after %d token requests, want nil after 1", err, as.count())
	}
}

func TestAuth38Origins(t *testing.T) {
	some := []string{"https://api.example.com", "HTTPS://Files.Example.com:443/", "https://api.example.com:8443"}
	tests := []struct {
		origins       []string
		allowInsecure bool
		key           string
		want          string // the token, "none", or "refused"
	}{
		{nil, false, "https://any.example.com", "AT1"},
		{nil, false, "", "AT1"},
		{nil, false, "orders-db", "AT1"},
		{nil, false, "http://localhost:8080", "AT1"},
		{nil, false, "http://127.0.0.1", "AT1"},
		{nil, false, "http://[::1]:80", "AT1"},
		{nil, false, "http://api.localhost", "refused"},
		{nil, false, "http://api.example.com", "refused"},
		{nil, false, "HTTP://api.example.com", "refused"},
		{nil, false, "http://127.0.0.1.example.com", "refused"},
		{nil, false, "http://localhost.example.com", "refused"},
		{nil, false, "http://user@localhost:x", "refused"},
		{nil, true, "http://api.example.com", "AT1"},

		{some, false, "https://api.example.com", "AT1"},
		{some, false, "https://API.example.com:443", "AT1"},
		{some, false, "https://files.example.com", "AT1"},
		{some, false, "https://api.example.com:8443", "AT1"},
		{some, false, "orders-db", "AT1"},
		{some, false, "https://api.example.com:8444", "none"},
		{some, false, "https://api.example.com.evil.example", "none"},
		{some, false, "https://evil.example", "none"},
		{some, false, "http://api.example.com", "none"},
		{some, true, "http://api.example.com", "none"},
		{some, false, "https://%zz", "none"},
	}
	for _, tt := range tests {
		as, rs := &server{}, &api{}
		p := auth.New(auth.Config{Source: as.refreshToken(), Origins: tt.origins, AllowInsecure: tt.allowInsecure})
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		err := p.Do(t.Context(), policy.Call{Key: tt.key}, rs.do)
		got := "none"
		switch {
		case errors.Is(err, auth.ErrTokenUnavailable) && errors.Is(err, policy.ErrRejected) && len(rs.calls) == 0:
			got = "refused"
		case err != nil:
			got = err.Error()
		case rs.tokens() != "":
			got = rs.tokens()
		}
		if got != tt.want {
			t.Errorf("origins %q, call for %q: %s, want %s", tt.origins, tt.key, got, tt.want)
		}
		if tt.want != "AT1" && as.count() != 0 {
			t.Errorf("origins %q, call for %q: %d token requests, want none", tt.origins, tt.key, as.count())
		}
	}
}

// A 401 from where no token was sent is not ours (17).
func TestAuth38RefusalFromElsewhere(t *testing.T) {
	as, rs := &server{}, &api{refuses: refuse("")}
	p := auth.New(auth.Config{Source: as.refreshToken(), Origins: []string{apiKey}})
	if err := p.Do(t.Context(), policy.Call{Key: "https://evil.example"}, rs.do); err != policy.ErrUnauthenticated || as.count() != 0 {
		t.Errorf("Do() = %v after %d token requests, want the refusal after 0", err, as.count())
	}
}
