package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth31RefreshTokens(t *testing.T) {
	tests := []struct {
		name   string
		answer string // to the second request
		want   string // refresh token of the third
	}{
		{"rotated", `{"access_token":"AT2","token_type":"Bearer","refresh_token":"NEW"}`, "NEW"},
		{"none", `{"access_token":"AT2","token_type":"Bearer"}`, "RT2"},
		{"empty", `{"access_token":"AT2","token_type":"Bearer","refresh_token":""}`, "RT2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					switch n {
					case 2:
						return 200, tt.answer
					case 3:
						return 200, `{"access_token":"AT3"}`
					}
					return 0, ""
				}}
				p, rs := as.policy(), &api{refuses: refuse("AT1")}
				_ = p.Do(t.Context(), testCall, rs.do)
				rs.refuses = refuse("AT2")
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Fatal(err)
				}
				if got := as.form(3).Get("refresh_token"); got != tt.want {
					t.Errorf("refresh token %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// What sources do for themselves, such as the refresh token, a user's source
// need not: it gets the last one, and may leave it out.
func TestAuth31SourcesOfUsers(t *testing.T) {
	var olds []string
	p := auth.New(auth.Config{Source: source(func(_ context.Context, old *oauth2.Token) (*oauth2.Token, error) {
		if old == nil {
			olds = append(olds, "none")
			return &oauth2.Token{AccessToken: "AT1", RefreshToken: "RT2"}, nil
		}
		olds = append(olds, old.AccessToken+" "+old.RefreshToken)
		return &oauth2.Token{AccessToken: "AT" + old.AccessToken[2:] + "'"}, nil
	})})
	for _, refused := range []string{"AT1", "AT1'"} {
		if err := p.Do(t.Context(), testCall, (&api{refuses: refuse(refused)}).do); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(olds, ", "); got != "none, AT1 RT2, AT1' RT2" {
		t.Errorf("the source got %s", got)
	}
}

func TestAuth39TokenRequest(t *testing.T) {
	const header, params = oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams
	const basic = "Basic Y2xpZW50JTNBMTpzJTI2Y3JldA==" // client%3A1:s%26cret
	refresh := func(secret string, style oauth2.AuthStyle) auth.Source {
		return auth.RefreshToken{ClientID: "client:1", ClientSecret: secret, AuthStyle: style, RefreshToken: "RT1", Scopes: []string{"a", "b"}}
	}
	credentials := func(secret string, style oauth2.AuthStyle) auth.Source {
		return auth.ClientCredentials{ClientID: "client:1", ClientSecret: secret, AuthStyle: style, Params: url.Values{"audience": {"orders"}}}
	}
	secret := func(context.Context) (string, error) { return "s&cret", nil }
	odd := auth.ClientCredentials{ClientID: "ä:/ %", ClientSecret: "+=& :%\"\t\u20ac"}
	oddInBody := odd
	oddInBody.AuthStyle = params
	// As by the algorithm of RFC 6749, appendix B: a space is a plus sign.
	const oddID, oddSecret = "%C3%A4%3A%2F+%25", "%2B%3D%26+%3A%25%22%09%E2%82%AC"
	tests := []struct {
		name     string
		source   auth.Source
		wantAuth string
		wantForm string
	}{
		{"refresh, default", refresh("s&cret", 0), basic, "grant_type=refresh_token&refresh_token=RT1&scope=a+b"},
		{"refresh, in header", refresh("s&cret", header), basic, "grant_type=refresh_token&refresh_token=RT1&scope=a+b"},
		{"refresh, in body", refresh("s&cret", params), "", "client_id=client%3A1&client_secret=s%26cret&grant_type=refresh_token&refresh_token=RT1&scope=a+b"},
		{"refresh, public client", refresh("", 0), "", "client_id=client%3A1&grant_type=refresh_token&refresh_token=RT1&scope=a+b"},
		{"refresh, secret from elsewhere", auth.RefreshToken{ClientID: "client:1", SecretFrom: secret, RefreshToken: "RT1"}, basic, "grant_type=refresh_token&refresh_token=RT1"},
		{"client credentials, secret from elsewhere, in body", auth.ClientCredentials{ClientID: "client:1", SecretFrom: secret, AuthStyle: params}, "", "client_id=client%3A1&client_secret=s%26cret&grant_type=client_credentials"},
		{"odd characters", odd, "Basic " + base64.StdEncoding.EncodeToString([]byte(oddID+":"+oddSecret)), "grant_type=client_credentials"},
		{"odd characters, in body", oddInBody, "", "client_id=" + oddID + "&client_secret=" + oddSecret + "&grant_type=client_credentials"},
		{"client credentials, default", credentials("s&cret", 0), basic, "audience=orders&grant_type=client_credentials"},
		{"client credentials, in body", credentials("s&cret", params), "", "audience=orders&client_id=client%3A1&client_secret=s%26cret&grant_type=client_credentials"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as := &server{}
			switch s := tt.source.(type) {
			case auth.RefreshToken:
				s.TokenURL, s.HTTPClient = tokenURL, &http.Client{Transport: as}
				tt.source = s
			case auth.ClientCredentials:
				s.TokenURL, s.HTTPClient = tokenURL, &http.Client{Transport: as}
				tt.source = s
			}
			if err := auth.New(auth.Config{Source: tt.source}).Do(t.Context(), testCall, (&api{}).do); err != nil {
				t.Fatal(err)
			}
			r := as.requests[0]
			if r.Method != http.MethodPost || r.URL.String() != tokenURL || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("%s %s of type %s", r.Method, r.URL, r.Header.Get("Content-Type"))
			}
			if got := r.Header.Get("Authorization"); got != tt.wantAuth {
				t.Errorf("Authorization: %q, want %q", got, tt.wantAuth)
			}
			if got := as.form(1).Encode(); got != tt.wantForm {
				t.Errorf("form %s, want %s", got, tt.wantForm)
			}
		})
	}
}

func TestAuth39NothingIsTriedOut(t *testing.T) {
	as := &server{answer: func(int, url.Values) (int, string) { return 401, `{"error":"invalid_client"}` }}
	_ = as.policy().Do(t.Context(), testCall, (&api{}).do)
	if got := as.count(); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}

func TestAuth39RedirectsAreRefused(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/token" {
				elsewhere++
				return
			}
			http.Redirect(w, r, "/elsewhere", status)
		}))
		s := auth.RefreshToken{TokenURL: server.URL + "/token", ClientID: "client", RefreshToken: "RT1", HTTPClient: server.Client()}
		err := auth.New(auth.Config{Source: s}).Do(t.Context(), testCall, (&api{}).do)
		if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected || elsewhere != 0 {
			t.Errorf("%d: Do() = %v with %d requests elsewhere, want ErrTokenUnavailable with none", status, err, elsewhere)
		}
		server.Close()
	}
}

func TestAuth39AnswerIsBounded(t *testing.T) {
	sent := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"AT1","x":"`))
		chunk := []byte(strings.Repeat("x", 64<<10))
		for range 1024 { // 64 MiB
			n, err := w.Write(chunk)
			sent += n
			if err != nil {
				return
			}
		}
		_, _ = w.Write([]byte(`"}`))
	}))
	s := auth.ClientCredentials{TokenURL: server.URL, ClientID: "client", HTTPClient: server.Client()}
	err := auth.New(auth.Config{Source: s}).Do(t.Context(), testCall, (&api{}).do)
	server.Close()
	if !errors.Is(err, auth.ErrTokenUnavailable) {
		t.Errorf("Do() = %v, want ErrTokenUnavailable", err)
	}
	if sent > 32<<20 {
		t.Errorf("the server got rid of %d bytes, want little more than 1 MiB", sent)
	}
}

func TestAuth39TokensThatAreRefused(t *testing.T) {
	tests := map[string]struct {
		body   string
		config auth.Config
		want   bool
	}{
		"bearer":            {`{"access_token":"AT","token_type":"bearer"}`, auth.Config{}, true},
		"no type":           {`{"access_token":"AT"}`, auth.Config{}, true},
		"unknown type":      {`{"access_token":"AT","token_type":"mac"}`, auth.Config{}, false},
		"DPoP":              {`{"access_token":"AT","token_type":"DPoP"}`, auth.Config{}, false},
		"type of Prefix":    {`{"access_token":"AT","token_type":"bot"}`, auth.Config{Prefix: "Bot"}, true},
		"line break":        {`{"access_token":"AT\r\nX-Evil: 1"}`, auth.Config{}, false},
		"NUL":               {`{"access_token":"A\u0000T"}`, auth.Config{}, false},
		"DEL":               {`{"access_token":"A\u007fT"}`, auth.Config{}, false},
		"not ASCII":         {`{"access_token":"Ä"}`, auth.Config{}, false},
		"empty":             {`{"access_token":""}`, auth.Config{}, false},
		"error and a token": {`{"access_token":"AT","error":"invalid_scope"}`, auth.Config{}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			as, rs := &server{answer: func(int, url.Values) (int, string) { return 200, tt.body }}, &api{}
			tt.config.Source = as.clientCredentials()
			err := auth.New(tt.config).Do(t.Context(), testCall, rs.do)
			if tt.want && err != nil {
				t.Errorf("Do() = %v, want nil", err)
			}
			if !tt.want && (!errors.Is(err, auth.ErrTokenUnavailable) || rs.tokens() != "") {
				t.Errorf("Do() = %v with tokens %q, want ErrTokenUnavailable with none", err, rs.tokens())
			}
		})
	}
}

func TestAuth43FromTokenSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{}, &api{}
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, &http.Client{Transport: as})
		config := &oauth2.Config{ClientID: "client", Endpoint: oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: oauth2.AuthStyleInHeader}}
		p := auth.New(auth.Config{Source: auth.FromTokenSource(config.TokenSource(ctx, &oauth2.Token{RefreshToken: "RT1"}))})
		for range 3 {
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if got := rs.tokens(); got != "AT1 AT2 AT3" {
			t.Errorf("calls with tokens %q, want AT1 to AT3", got)
		}
	})
}

type failing struct{ err error }

func (f failing) Token() (*oauth2.Token, error) { return nil, f.err }

func TestAuth43FromTokenSourceErrors(t *testing.T) {
	cause := errors.New("CANARY")
	err := auth.New(auth.Config{Source: auth.FromTokenSource(failing{cause})}).Do(t.Context(), testCall, (&api{}).do)
	if !errors.Is(err, cause) || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("Do() = %v, want an error that wraps the source's and does not tell its text", err)
	}

	retrieve := &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}, Body: []byte("CANARY"), ErrorCode: "invalid_grant", ErrorDescription: "CANARY"}
	err = auth.New(auth.Config{Source: auth.FromTokenSource(failing{retrieve})}).Do(t.Context(), testCall, (&api{}).do)
	e, ok := errors.AsType[*auth.AuthError](err)
	if !ok || e.ErrorCode != "invalid_grant" || errors.As(err, &retrieve) {
		t.Errorf("Do() = %v, want an AuthError with the code, and no RetrieveError", err)
	}
}

// Some servers send refresh tokens that client credentials have no use for.
func TestAuth34ClientCredentialsWithARefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{answer: func(n int, _ url.Values) (int, string) {
			return 200, fmt.Sprintf(`{"access_token":"AT%d","refresh_token":"RT","expires_in":60}`, n)
		}}
		store := new(downStore)
		p := auth.New(auth.Config{Source: as.clientCredentials(), Store: store, Grant: "orders"})
		if token, err := p.Token(t.Context()); err != nil || token.AccessToken != "AT1" {
			t.Errorf("Token() = %v, %v: want AT1", token, err)
		}
		store.down.Store(true)
		time.Sleep(time.Hour)
		if token, err := p.Token(t.Context()); err != nil || token.AccessToken != "AT2" {
			t.Errorf("Token() = %v, %v while the store is down: want AT2", token, err)
		}
	})
}

// A downStore is out of reach while down is true.
type downStore struct {
	auth.MemoryStore

	down atomic.Bool
}

func (s *downStore) Load(ctx context.Context, key string) ([]byte, uint64, error) {
	if s.down.Load() {
		return nil, 0, errors.New("down")
	}
	return s.MemoryStore.Load(ctx, key)
}
