package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
)

// newLogin returns an authorization server whose tokens are token-1, token-2,
// and so on.
func newLogin() *httptest.Server {
	n := 0
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		fmt.Println("login:", r.FormValue("grant_type"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, n)
	}))
}

// The first token turns out to be revoked. The client does not notice.
func Example() {
	login := newLogin()
	defer login.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("api:", r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == "Bearer token-1" {
			http.Error(w, "revoked", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "three orders")
	}))
	defer api.Close()

	p := pipeline.Must(pipeline.New("orders", auth.New(auth.Config{
		Source: auth.ClientCredentials{TokenURL: login.URL, ClientID: "client", ClientSecret: "secret"},
	})))
	client := &http.Client{Transport: p.Transport(nil)}

	response, err := client.Get(api.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fmt.Println(response.StatusCode, string(body), err)
	// Output:
	// login: client_credentials
	// api: Bearer token-1
	// login: client_credentials
	// api: Bearer token-2
	// 200 three orders <nil>
}

// Without a pipeline, for whatever is not HTTP.
func ExamplePolicy_Use() {
	login := newLogin()
	defer login.Close()
	tokens := auth.New(auth.Config{
		Source: auth.ClientCredentials{TokenURL: login.URL, ClientID: "client", ClientSecret: "secret"},
	})
	err := tokens.Use(context.Background(), func(_ context.Context, token *oauth2.Token) error {
		fmt.Println("send", token.AccessToken)
		if token.AccessToken == "token-1" {
			return fmt.Errorf("server said no: %w", policy.ErrUnauthenticated)
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// login: client_credentials
	// send token-1
	// login: client_credentials
	// send token-2
	// <nil>
}

// In a pipeline of other protocols than HTTP the function finds the token in
// the call's headers.
func ExamplePolicy_Do() {
	login := newLogin()
	defer login.Close()
	p := pipeline.Must(pipeline.New("orders", auth.New(auth.Config{
		Source: auth.ClientCredentials{TokenURL: login.URL, ClientID: "client", ClientSecret: "secret"},
	})))
	list := func(_ context.Context, call policy.Call) (int, error) {
		for name, value := range call.Header() {
			fmt.Printf("%s: %s\n", name, value)
		}
		return 3, nil
	}
	fmt.Println(pipeline.RunCall(context.Background(), p, policy.Call{Name: "orders.list"}, list))
	// Output:
	// login: client_credentials
	// Authorization: Bearer token-1
	// 3 <nil>
}

// One policy serves all tenants. Each has a token of its own.
func ExampleKeyed() {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := r.BasicAuth()
		fmt.Println("login:", client)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-of-%s","token_type":"Bearer","expires_in":3600}`, client)
	}))
	defer login.Close()
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("api:", r.Header.Get("Authorization"))
	}))
	defer api.Close()

	type tenant struct{} // the key of the tenant in contexts
	tenants := auth.NewKeyed(auth.KeyedConfig{
		Key: func(ctx context.Context, _ policy.Call) (string, error) {
			name, _ := ctx.Value(tenant{}).(string)
			return name, nil
		},
		New: func(_ context.Context, name string) (auth.Config, error) {
			return auth.Config{Source: auth.ClientCredentials{TokenURL: login.URL, ClientID: name, ClientSecret: "secret"}}, nil
		},
	})
	p := pipeline.Must(pipeline.New("orders", tenants))
	client := &http.Client{Transport: p.Transport(nil)}

	for _, name := range []string{"acme", "globex", "acme", ""} {
		ctx := context.WithValue(context.Background(), tenant{}, name)
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, api.URL, http.NoBody)
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(errors.Is(err, auth.ErrTokenUnavailable))
			continue
		}
		_ = response.Body.Close()
	}
	// Output:
	// login: acme
	// api: Bearer token-of-acme
	// login: globex
	// api: Bearer token-of-globex
	// api: Bearer token-of-acme
	// true
}

// When the grant is lost, the user has to log in again.
func ExamplePolicy_SetToken() {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
	}))
	defer login.Close()
	tokens := auth.New(auth.Config{
		Source: auth.RefreshToken{TokenURL: login.URL, ClientID: "client", RefreshToken: "revoked"},
	})
	send := func(_ context.Context, token *oauth2.Token) error {
		fmt.Println("send", token.AccessToken)
		return nil
	}

	err := tokens.Use(context.Background(), send)
	fmt.Println(err)
	if errors.Is(err, auth.ErrReauthRequired) {
		token := &oauth2.Token{AccessToken: "new", RefreshToken: "also new"} // as from oauth2.Config.Exchange
		fmt.Println(tokens.SetToken(context.Background(), token))
		fmt.Println(tokens.Use(context.Background(), send))
	}
	// Output:
	// auth: reauthorization required: the token endpoint answered 400 invalid_grant
	// <nil>
	// send new
	// <nil>
}

// Any oauth2.TokenSource will do, if with fewer promises.
func ExampleFromTokenSource() {
	static := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "from-elsewhere"})
	tokens := auth.New(auth.Config{Source: auth.FromTokenSource(static)})
	_ = tokens.Use(context.Background(), func(_ context.Context, token *oauth2.Token) error {
		fmt.Println(token.AccessToken)
		return nil
	})
	// Output: from-elsewhere
}

// The client authenticates itself by a private key, and sends no secret.
func ExamplePrivateKeyJWT() {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.FormValue("client_assertion_type"))
		fmt.Println(len(strings.Split(r.FormValue("client_assertion"), ".")), "parts")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token-1","token_type":"Bearer"}`)
	}))
	defer login.Close()
	privateKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // or as read from a file
	if err != nil {
		fmt.Println(err)
		return
	}

	key := auth.PrivateKeyJWT{ClientID: "orders", Audience: login.URL, Key: privateKey}
	if err := key.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	tokens := auth.New(auth.Config{
		Source: auth.ClientCredentials{TokenURL: login.URL, ClientID: "orders", Assertion: key.Assertion},
	})
	err = tokens.Use(context.Background(), func(_ context.Context, token *oauth2.Token) error {
		fmt.Println(token.AccessToken)
		return nil
	})
	fmt.Println(err)
	// Output:
	// urn:ietf:params:oauth:client-assertion-type:jwt-bearer
	// 3 parts
	// token-1
	// <nil>
}

// Tokens that are bound to a key are of no use to whoever steals them.
func ExampleDPoP() {
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("login: with proof:", r.Header.Get("DPoP") != "")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"token-1","token_type":"DPoP"}`)
	}))
	defer login.Close()
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("api:", r.Header.Get("Authorization"), "with proof:", r.Header.Get("DPoP") != "")
	}))
	defer api.Close()

	dpop := auth.NewDPoP(nil) // with a key of its own
	source := auth.ClientCredentials{TokenURL: login.URL, ClientID: "client", ClientSecret: "secret", DPoP: dpop}
	p := pipeline.Must(pipeline.New("orders", auth.New(auth.Config{Source: source, DPoP: dpop})))
	client := &http.Client{Transport: p.Transport(nil)}
	response, err := client.Get(api.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode)
	// Output:
	// login: with proof: true
	// api: DPoP token-1 with proof: true
	// 200
}

// Sources do not show their secrets.
func ExampleRefreshToken_Format() {
	source := auth.RefreshToken{TokenURL: "https://login.example.com/token", ClientID: "client", ClientSecret: "swordfish"}
	fmt.Printf("%+v\n", source)
	// Output: {TokenURL:https://login.example.com/token ClientID:client ClientSecret:[redacted] SecretFrom:<nil> Assertion:<nil> AuthStyle:0 RefreshToken: Scopes:[] Params:map[] DPoP:<nil> HTTPClient:<nil> AllowInsecure:false}
}
