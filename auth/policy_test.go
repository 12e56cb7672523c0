package auth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/policy/policytest"
)

func TestConformance(t *testing.T) {
	policytest.Run(t, func() policy.Policy { return (&server{}).policy() })
}

func TestNameAndType(t *testing.T) {
	if p := auth.New(auth.Config{}); p.Name() != "auth" || p.Type() != "auth" {
		t.Errorf("name %q and type %q, want auth", p.Name(), p.Type())
	}
	if p := auth.New(auth.Config{Name: "orders-auth"}); p.Name() != "orders-auth" || p.Type() != "auth" {
		t.Errorf("name %q and type %q, want orders-auth and auth", p.Name(), p.Type())
	}
}

func TestValidate(t *testing.T) {
	credential := func(context.Context) (string, error) { return "CANARY", nil }
	good := (&server{}).refreshToken()
	refresh := func(change func(*auth.RefreshToken)) auth.Config {
		s := good
		change(&s)
		return auth.Config{Source: s}
	}
	tests := []struct {
		name   string
		config auth.Config
		want   []string // one for each complaint; none if it is valid
	}{
		{"good", auth.Config{Source: good}, nil},
		{"pointer", auth.Config{Source: &good}, nil},
		{"everything", auth.Config{Source: good, Timeout: time.Second, Origins: []string{"https://a.example", "http://localhost:1"}, Header: "X-Key", Prefix: "k"}, nil},
		{"nothing", auth.Config{}, []string{"invalid Source nil"}},
		{"nil pointer", auth.Config{Source: (*auth.ClientCredentials)(nil)}, []string{"invalid Source nil"}},
		{"no origin", auth.Config{Source: good, Origins: []string{""}}, []string{`invalid Origins element ""`}},
		{"header of net/http", auth.Config{Source: good, Header: "host"}, []string{`invalid Header "host"`}},
		{"absurd timeout", auth.Config{Source: good, Timeout: 15}, []string{"invalid Timeout 15ns"}},
		{"two complaints of the source", auth.Config{Source: auth.ClientCredentials{}}, []string{`invalid Source: invalid TokenURL ""`, "invalid Source: invalid ClientID"}},
		{"several", auth.Config{Timeout: -1, Header: "X Key"}, []string{"invalid Source nil", "invalid Timeout -1ns: want 1ms to 1h0m0s", `invalid Header "X Key"`}},
		{"header", auth.Config{Source: good, Header: "X-Key\r\nX-Evil"}, []string{`invalid Header "X-Key\r\nX-Evil"`}},
		{"prefix", auth.Config{Source: good, Prefix: "Bearer\r\nX-Evil:"}, []string{`invalid Prefix "Bearer\r\nX-Evil:"`}},
		{"origins", auth.Config{Source: good, Origins: []string{"api.example.com", "https://a.example/path", "http://b.example", "ftp://c.example", "https://u:CANARY@d.example"}}, []string{
			`element "api.example.com"`, `element "https://a.example/path"`, `element "http://b.example": want https`, `element "ftp://c.example"`, `element "https://d.example"`,
		}},
		{"insecure origin allowed", auth.Config{Source: good, Origins: []string{"http://b.example"}, AllowInsecure: true}, nil},

		{"no token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "" }), []string{`invalid TokenURL ""`}},
		{"relative token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "/token" }), []string{`invalid TokenURL "/token"`}},
		{"http token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "http://login.example.com/token?CANARY" }), []string{`invalid TokenURL "http://login.example.com/token": want https`}},
		{"http token URL allowed", refresh(func(s *auth.RefreshToken) { s.TokenURL, s.AllowInsecure = "http://login.example.com", true }), nil},
		{"loopback token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "http://127.0.0.1:8080" }), nil},
		{"user in token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "https://u:CANARY@login.example.com" }), []string{`invalid TokenURL "https://login.example.com": want it without user name`}},
		{"unparsable token URL", refresh(func(s *auth.RefreshToken) { s.TokenURL = "https://CANARY\x7f" }), []string{"invalid TokenURL"}},
		{"no client", refresh(func(s *auth.RefreshToken) { s.ClientID = "" }), []string{"invalid ClientID"}},
		{"no refresh token", refresh(func(s *auth.RefreshToken) { s.RefreshToken = "" }), []string{"invalid RefreshToken"}},
		{"auth style", refresh(func(s *auth.RefreshToken) { s.AuthStyle = 3 }), []string{"invalid AuthStyle 3"}},
		{"no refresh token, but a store", auth.Config{Source: auth.RefreshToken{TokenURL: tokenURL}, Store: new(auth.MemoryStore), Grant: "orders"}, []string{"invalid ClientID"}},
		{"nothing but a refresh token missing", auth.Config{Source: auth.RefreshToken{TokenURL: tokenURL, ClientID: "client"}, Store: new(auth.MemoryStore), Grant: "orders"}, nil},
		{"scopes", refresh(func(s *auth.RefreshToken) { s.Scopes = []string{"a b", "", "ok"} }), []string{`element "a b"`, `element ""`}},
		{"params", refresh(func(s *auth.RefreshToken) { s.Params = url.Values{"refresh_token": {"CANARY"}, "resource": {"x"}} }), []string{`element "refresh_token"`}},
		{"secret from elsewhere", refresh(func(s *auth.RefreshToken) { s.ClientSecret, s.SecretFrom = "", credential }), nil},
		{"two secrets", refresh(func(s *auth.RefreshToken) { s.ClientSecret, s.SecretFrom = "CANARY", credential }), []string{"invalid ClientSecret: want none beside SecretFrom"}},
		{"secret and assertion", refresh(func(s *auth.RefreshToken) { s.ClientSecret, s.SecretFrom, s.Assertion = "", credential, credential }), []string{"invalid SecretFrom: want none beside Assertion"}},
		{"assertion", refresh(func(s *auth.RefreshToken) { s.ClientSecret, s.Assertion = "", credential }), nil},
		{"assertion in the body", refresh(func(s *auth.RefreshToken) {
			s.ClientSecret, s.Assertion, s.AuthStyle = "", credential, oauth2.AuthStyleInParams
		}), nil},
		{"assertion and secret", refresh(func(s *auth.RefreshToken) { s.ClientSecret, s.Assertion = "CANARY", credential }), []string{"invalid ClientSecret: want none beside Assertion"}},
		{"assertion in the header", refresh(func(s *auth.RefreshToken) {
			s.ClientSecret, s.Assertion, s.AuthStyle = "", credential, oauth2.AuthStyleInHeader
		}), []string{"invalid AuthStyle AuthStyleInHeader"}},
		{"assertion and params", refresh(func(s *auth.RefreshToken) {
			s.ClientSecret, s.Assertion, s.Params = "", credential, url.Values{"client_assertion": {"CANARY"}, "client_assertion_type": {"x"}}
		}), []string{`invalid Params element "client_assertion"`, `invalid Params element "client_assertion_type"`}},
		{"assertion in params only", refresh(func(s *auth.RefreshToken) { s.Params = url.Values{"client_assertion": {"CANARY"}} }), nil},
		{"client credentials", auth.Config{Source: auth.ClientCredentials{TokenURL: "http://x.example"}}, []string{"invalid TokenURL", "invalid ClientID"}},
		{"token source", auth.Config{Source: auth.FromTokenSource(nil)}, []string{"invalid TokenSource nil"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := auth.New(tt.config).Validate()
			if len(tt.want) == 0 {
				if err != nil {
					t.Errorf("Validate() = %v, want nil", err)
				}
				return
			}
			if err == nil {
				t.Fatal("Validate() = nil, want an error")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) || strings.Contains(err.Error(), "CANARY") {
				t.Fatalf("Validate() = %v, want %d complaints and no secrets", err, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("complaint %q, want %q", lines[i], want)
				}
			}
		})
	}
}

// A Policy that New did not make, or without a source, is refused, not fatal.
func TestNotUsable(t *testing.T) {
	for name, p := range map[string]*auth.Policy{"nil": nil, "zero": {}, "no source": auth.New(auth.Config{}), "nil pointer as source": auth.New(auth.Config{Source: (*auth.RefreshToken)(nil)})} {
		t.Run(name, func(t *testing.T) {
			if err := p.Validate(); err == nil {
				t.Error("Validate() = nil, want an error")
			}
			if err := p.Do(t.Context(), testCall, (&api{}).do); err == nil {
				t.Error("Do() = nil, want an error")
			}
			if err := p.Use(t.Context(), func(context.Context, *oauth2.Token) error { return nil }); err == nil {
				t.Error("Use() = nil, want an error")
			}
			_ = p.SetToken(t.Context(), &oauth2.Token{AccessToken: "AT"})
			_ = p.Type()
			isClean(t, "policy", p)
		})
	}
}

func TestAuth44WhatIsSaid(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, p *auth.Policy, call policy.Call)
		want string
	}{
		{"a call that goes well says nothing", func(t *testing.T, p *auth.Policy, call policy.Call) {
			_ = p.Do(t.Context(), testCall, (&api{}).do)
			_ = p.Do(t.Context(), call, (&api{}).do)
		}, ""},
		{"missing", func(t *testing.T, p *auth.Policy, call policy.Call) {
			_ = p.Do(t.Context(), call, (&api{}).do)
		}, `begin token refresh: missing grant_type=refresh_token refresh.reason=missing
auth.refreshed grant_type=refresh_token refresh.reason=missing outcome=refreshed generation=1 rotated=true waiters=0 token.expires_in=1h0m0s
end token refresh: missing`},
		{"expired", func(t *testing.T, p *auth.Policy, call policy.Call) {
			_ = p.Do(t.Context(), testCall, (&api{}).do)
			time.Sleep(time.Hour)
			_ = p.Do(t.Context(), call, (&api{}).do)
		}, `begin token refresh: expired grant_type=refresh_token refresh.reason=expired
auth.refreshed grant_type=refresh_token refresh.reason=expired outcome=refreshed generation=2 rotated=true waiters=0 token.expires_in=1h0m0s
end token refresh: expired`},
		{"after 401", func(t *testing.T, p *auth.Policy, call policy.Call) {
			_ = p.Do(t.Context(), testCall, (&api{}).do)
			_ = p.Do(t.Context(), call, (&api{refuses: refuse("AT1")}).do)
		}, `begin token refresh: after 401 grant_type=refresh_token refresh.reason=after 401
auth.refreshed grant_type=refresh_token refresh.reason=after 401 outcome=refreshed generation=2 rotated=true waiters=0 token.expires_in=1h0m0s
end token refresh: after 401`},
		{"wait for the flight of others", func(t *testing.T, p *auth.Policy, call policy.Call) {
			go func() { _ = p.Do(t.Context(), testCall, (&api{}).do) }()
			synctest.Wait()
			_ = p.Do(t.Context(), call, (&api{}).do)
		}, `begin token wait
end token wait`},
		{"wait that is left", func(t *testing.T, p *auth.Policy, call policy.Call) {
			go func() { _ = p.Do(t.Context(), testCall, (&api{}).do) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_ = p.Do(ctx, call, (&api{}).do)
			time.Sleep(time.Hour)
		}, `begin token wait
end token wait: auth
auth.failed outcome=transient`},
		{"lost grant", func(t *testing.T, p *auth.Policy, call policy.Call) {
			_ = p.SetToken(t.Context(), &oauth2.Token{RefreshToken: "old"})
			_ = p.Do(t.Context(), call, (&api{}).do)
		}, `begin token refresh: missing grant_type=refresh_token refresh.reason=missing
auth.refresh_failed grant_type=refresh_token refresh.reason=missing outcome=reauth_required error_code=invalid_grant waiters=0
end token refresh: missing: invalid_grant
auth.failed outcome=reauth_required error_code=invalid_grant`},
		{"the caller leaves", func(t *testing.T, p *auth.Policy, call policy.Call) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = p.Do(ctx, call, (&api{}).do)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said := &transcript{}
				tt.do(t, (&server{delay: time.Second}).policy(), testCall.WithRecorder(said))
				if got := said.String(); got != tt.want {
					t.Errorf("said\n%s\nwant\n%s", got, tt.want)
				}
			})
		})
	}
}

// An observer may use the policy that it hears of.
func TestObserversMayUseThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for current, want := range map[int]int{1: 1, 9: 2} { // events by the good refresh token
			as := &server{}
			as.setCurrent(current)
			p := as.policy()
			used := 0
			err := p.Do(t.Context(), testCall.WithRecorder(observer(func(ctx context.Context) {
				used++
				if err := p.Use(ctx, func(context.Context, *oauth2.Token) error { return nil }); err != nil && !errors.Is(err, auth.ErrReauthRequired) {
					t.Errorf("Use() = %v", err)
				}
			})), (&api{}).do)
			if used != want {
				t.Errorf("Do() = %v after %d events, want %d", err, used, want)
			}
		}
	})
}

type observer func(context.Context)

func (o observer) Emit(ctx context.Context, _ policy.Event) { o(ctx) }

func (o observer) Step(ctx context.Context, _ policy.Call, _ string, _ []slog.Attr) (context.Context, func(error)) {
	return ctx, func(error) {}
}
