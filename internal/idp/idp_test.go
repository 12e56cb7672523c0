package idp_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/evenkeel-go/evenkeel/internal/idp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRefreshRotates(t *testing.T) {
	s, ctx := start(t, idp.Config{AccessTokenLifetime: 2 * time.Second})
	first, err := s.Grant(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second, err := refresh(ctx, s, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if first.RefreshToken == second.RefreshToken || first.AccessToken == second.AccessToken {
		t.Error("refresh returned an old token")
	}
	for _, token := range []*oauth2.Token{first, second} {
		if err := s.Verify(ctx, token.AccessToken); err != nil {
			t.Errorf("Verify() = %v, want nil", err)
		}
		if token.ExpiresIn != 2 {
			t.Errorf("expires_in is %d, want 2", token.ExpiresIn)
		}
	}
	if got := s.TokenRequests(); got != 1 {
		t.Errorf("TokenRequests() = %d, want 1", got)
	}
}

func TestReuseRevokesTheFamily(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	other, first := grant(t, ctx, s), grant(t, ctx, s)
	second, err := refresh(ctx, s, first.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	for _, spent := range []string{first.RefreshToken, first.RefreshToken, second.RefreshToken} {
		_, err := refresh(ctx, s, spent)
		checkRefused(t, err, http.StatusBadRequest, "invalid_grant")
	}
	if got := s.Reuses(); got != 1 {
		t.Errorf("Reuses() = %d, want 1", got)
	}
	for _, token := range []*oauth2.Token{first, second} {
		if err := s.Verify(ctx, token.AccessToken); !errors.Is(err, idp.ErrInvalidToken) {
			t.Errorf("Verify() = %v, want %v", err, idp.ErrInvalidToken)
		}
	}
	if _, err := refresh(ctx, s, other.RefreshToken); err != nil {
		t.Errorf("refresh in another family: %v", err)
	}
}

func TestReuseAtTheSameTime(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	token := grant(t, ctx, s)
	var good atomic.Int64
	var last atomic.Pointer[oauth2.Token]
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if next, err := refresh(ctx, s, token.RefreshToken); err == nil {
				good.Add(1)
				last.Store(next)
			}
		})
	}
	wg.Wait()
	if got := good.Load(); got != 1 {
		t.Fatalf("%d refreshes with one token went well, want 1", got)
	}
	if got := s.Reuses(); got != 1 {
		t.Errorf("Reuses() = %d, want 1", got)
	}
	_, err := refresh(ctx, s, last.Load().RefreshToken)
	checkRefused(t, err, http.StatusBadRequest, "invalid_grant")
}

func TestClientCredentials(t *testing.T) {
	s, ctx := start(t, idp.Config{AccessTokenLifetime: 3 * time.Second})
	config := clientcredentials.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, TokenURL: s.TokenURL,
		Scopes: []string{"orders"}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	token, err := config.Token(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if lifetime := time.Until(token.Expiry); token.RefreshToken != "" || lifetime <= 2*time.Second {
		t.Errorf("got refresh token %q, lifetime %v, want none, 3s", token.RefreshToken, lifetime)
	}
	if err := s.Verify(ctx, token.AccessToken); err != nil {
		t.Errorf("Verify() = %v, want nil", err)
	}

	config.ClientSecret = "wrong"
	_, err = config.Token(ctx)
	checkRefused(t, err, http.StatusUnauthorized, "invalid_client")
}

func TestClientAuthentication(t *testing.T) {
	s, ctx := start(t, idp.Config{ClientID: "client:%+ ü", ClientSecret: "secret:%+ ü"})
	for name, style := range map[string]oauth2.AuthStyle{"basic": oauth2.AuthStyleInHeader, "post": oauth2.AuthStyleInParams} {
		t.Run(name, func(t *testing.T) {
			config := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: s.ClientSecret, TokenURL: s.TokenURL, AuthStyle: style}
			token, err := config.Token(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(ctx, token.AccessToken); err != nil {
				t.Errorf("Verify() = %v, want nil", err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	token := grant(t, ctx, s).RefreshToken
	tests := []struct {
		name       string
		id, secret string
		form       url.Values
		status     int
		code       string
	}{
		{"no grant type", s.ClientID, s.ClientSecret, url.Values{}, 400, "invalid_request"},
		{"unsupported grant type", s.ClientID, s.ClientSecret, url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"no refresh token", s.ClientID, s.ClientSecret, url.Values{"grant_type": {"refresh_token"}}, 400, "invalid_request"},
		{"unknown refresh token", s.ClientID, s.ClientSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}, 400, "invalid_grant"},
		{"wider scope", s.ClientID, s.ClientSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {"admin"}}, 400, "invalid_scope"},
		{"wrong secret", s.ClientID, "x", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, 401, "invalid_client"},
		{"unknown client", "x", s.ClientSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, 401, "invalid_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response := post(t, ctx, s.TokenURL, tt.id, tt.secret, tt.form)
			if response.StatusCode != tt.status || !strings.Contains(response.body, `"error":"`+tt.code+`"`) {
				t.Errorf("got %d %s, want %d %s", response.StatusCode, response.body, tt.status, tt.code)
			}
			if got, want := response.Header.Get("WWW-Authenticate") != "", tt.status == 401; got != want {
				t.Errorf("has a challenge: %t, want %t", got, want)
			}
			if got := response.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q, want no-store", got)
			}
		})
	}
	if _, err := refresh(ctx, s, token); err != nil {
		t.Errorf("refused requests used the refresh token: %v", err)
	}
	if got, want := s.TokenRequests(), len(tests)+1; got != want {
		t.Errorf("TokenRequests() = %d, want %d", got, want)
	}
}

func TestAccessTokenExpires(t *testing.T) {
	s, ctx := start(t, idp.Config{AccessTokenLifetime: time.Second})
	token := grant(t, ctx, s)
	if err := s.Verify(ctx, token.AccessToken); err != nil {
		t.Fatalf("Verify() = %v, want nil", err)
	}
	time.Sleep(time.Until(token.Expiry) + 20*time.Millisecond)
	if err := s.Verify(ctx, token.AccessToken); !errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("Verify() of an expired token = %v, want %v", err, idp.ErrInvalidToken)
	}
}

func TestRevoke(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	token := grant(t, ctx, s)
	s.RevokeAccessTokens()
	if err := s.Verify(ctx, token.AccessToken); !errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("Verify() of a revoked token = %v, want %v", err, idp.ErrInvalidToken)
	}
	token, err := refresh(ctx, s, token.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(ctx, token.AccessToken); err != nil {
		t.Errorf("Verify() of a new token = %v, want nil", err)
	}

	for _, revoked := range []string{token.AccessToken, token.RefreshToken} {
		response := post(t, ctx, s.Issuer+"/revoke", s.ClientID, s.ClientSecret, url.Values{"token": {revoked}})
		if response.StatusCode != http.StatusOK {
			t.Errorf("revocation is answered %d, want 200", response.StatusCode)
		}
		if err := s.Verify(ctx, token.AccessToken); !errors.Is(err, idp.ErrInvalidToken) {
			t.Errorf("Verify() = %v, want %v", err, idp.ErrInvalidToken)
		}
	}
	_, err = refresh(ctx, s, token.RefreshToken)
	checkRefused(t, err, http.StatusBadRequest, "invalid_grant")
}

func TestVerifyRejectsStrangers(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	other, _ := start(t, idp.Config{})
	token := grant(t, ctx, s)
	for _, stranger := range []string{"", "x", "a.b.c", token.RefreshToken, token.AccessToken + "x", grant(t, ctx, other).AccessToken} {
		if err := s.Verify(ctx, stranger); !errors.Is(err, idp.ErrInvalidToken) {
			t.Errorf("Verify(%q) = %v, want %v", stranger, err, idp.ErrInvalidToken)
		}
	}
	s.Close()
	if err := s.Verify(ctx, token.AccessToken); err == nil || errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("Verify() without a server = %v, want an error that says nothing about the token", err)
	}
}

func TestDiscoveryAndIDToken(t *testing.T) {
	s, ctx := start(t, idp.Config{})
	httpClient := ctx.Value(oauth2.HTTPClient).(*http.Client)
	discovered, err := client.Discover(ctx, s.Issuer, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	if discovered.TokenEndpoint != s.TokenURL {
		t.Errorf("the token endpoint is %s, want %s", discovered.TokenEndpoint, s.TokenURL)
	}
	token, err := refresh(ctx, s, grant(t, ctx, s).RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	keys := rp.NewRemoteKeySet(httpClient, discovered.JwksURI)
	verifier := rp.NewIDTokenVerifier(s.Issuer, s.ClientID, keys, rp.WithSupportedSigningAlgorithms("ES256"))
	idToken, _ := token.Extra("id_token").(string)
	claims, err := rp.VerifyTokens[*oidc.IDTokenClaims](ctx, token.AccessToken, idToken, verifier)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := claims.Subject, "demo-user"; got != want {
		t.Errorf("the subject is %q, want %q", got, want)
	}
}

// The provider's library logs to the default logger and traces with the global
// tracer provider: neither should be heard of.
func TestQuiet(t *testing.T) {
	var logged strings.Builder
	stderr := log.Writer()
	log.SetOutput(&logged)
	t.Cleanup(func() { log.SetOutput(stderr) })
	spans := tracetest.NewSpanRecorder()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))

	s, ctx := start(t, idp.Config{})
	token := grant(t, ctx, s)
	_ = s.Verify(ctx, token.AccessToken)
	for range 3 {
		_, _ = refresh(ctx, s, token.RefreshToken)
	}
	s.Close()
	if logged.Len() > 0 {
		t.Errorf("logged %q, want nothing", &logged)
	}
	if got := len(spans.Ended()); got > 0 {
		t.Errorf("recorded %d spans, want 0", got)
	}
}

func TestWrap(t *testing.T) {
	var seen []string
	s, ctx := start(t, idp.Config{Wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = append(seen, r.Method+" "+r.URL.Path)
			h.ServeHTTP(w, r)
		})
	}})
	if _, err := refresh(ctx, s, grant(t, ctx, s).RefreshToken); err != nil {
		t.Fatal(err)
	}
	if want := []string{"POST /oauth/token"}; !slices.Equal(seen, want) {
		t.Errorf("saw requests %q, want %q", seen, want)
	}
}

func TestStartRefusesShortLifetimes(t *testing.T) {
	_, err := idp.Start(idp.Config{AccessTokenLifetime: 999 * time.Millisecond})
	want := "idp: invalid AccessTokenLifetime 999ms: want at least 1s"
	if err == nil || err.Error() != want {
		t.Errorf("Start() = %v, want %s", err, want)
	}
}

// start starts a server, and returns it with a context that carries the HTTP
// client for x/oauth2.
func start(t *testing.T, config idp.Config) (*idp.Server, context.Context) {
	t.Helper()
	s, err := idp.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return s, context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: transport})
}

func grant(t *testing.T, ctx context.Context, s *idp.Server) *oauth2.Token {
	t.Helper()
	token, err := s.Grant(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func refresh(ctx context.Context, s *idp.Server, refreshToken string) (*oauth2.Token, error) {
	config := oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: s.TokenURL, AuthStyle: oauth2.AuthStyleInHeader},
	}
	return config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshToken}).Token()
}

func checkRefused(t *testing.T, err error, status int, code string) {
	t.Helper()
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Errorf("got error %v, want %d %s", err, status, code)
		return
	}
	if refused.Response.StatusCode != status || refused.ErrorCode != code {
		t.Errorf("got %d %s, want %d %s", refused.Response.StatusCode, refused.ErrorCode, status, code)
	}
}

type response struct {
	*http.Response

	body string
}

func post(t *testing.T, ctx context.Context, to, id, secret string, form url.Values) response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	answer, err := ctx.Value(oauth2.HTTPClient).(*http.Client).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{answer, string(body)}
}
