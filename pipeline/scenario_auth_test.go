package pipeline_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

var (
	refused   = replied(401)
	notEnough = replied(401, `Www-Authenticate: Bearer error="insufficient_user_authentication", acr_values="canary"`)
)

var authScenarios = []scenario{
	{"token-missing", func(s *stage) {
		s.set((&login{}).policy())
		s.get(ok)
		s.get(ok)
	}},
	{"token-expired", func(s *stage) {
		s.set((&login{expiresIn: 60}).policy())
		s.get(ok)
		time.Sleep(time.Minute)
		s.get(ok)
	}},
	{"token-refused", func(s *stage) {
		s.set(steady(2), (&login{}).policy())
		s.get(ok)
		s.get(refused, ok)
	}},
	{"token-refused-twice", func(s *stage) {
		s.set((&login{}).policy())
		s.get(refused)
		s.get(refused) // and is not replaced again so soon
	}},
	{"token-refused-body-spent", func(s *stage) {
		s.set((&login{}).policy())
		s.get(ok)
		req := request(s, "POST", "https://api.example.com/orders", io.MultiReader(strings.NewReader("canary")))
		response, err := s.p.Transport(&script{replies: []reply{refused}}).RoundTrip(req)
		if err != nil || response.StatusCode != http.StatusUnauthorized {
			s.Errorf("RoundTrip() = %v, %v, want the 401", response, err)
		}
		time.Sleep(time.Second)
	}},
	{"token-proactive", func(s *stage) {
		s.set(steady(2), (&login{expiresIn: 1000}).policy())
		s.get(ok)
		time.Sleep(900 * time.Second)
		s.get(ok)
		time.Sleep(time.Second)
		s.get(ok)
	}},
	{"token-step-up", func(s *stage) {
		stepUp := func(context.Context, *oauth2.Token, []auth.Challenge) (*oauth2.Token, error) {
			time.Sleep(time.Second)
			return &oauth2.Token{AccessToken: "canary-stronger", TokenType: "Bearer"}, nil
		}
		s.set(auth.New(auth.Config{Source: (&login{}).refreshToken(), StepUp: stepUp}))
		s.get(notEnough, ok)
	}},
	{"token-wait", func(s *stage) {
		s.set((&login{}).policy())
		time.AfterFunc(50*time.Millisecond, func() { s.get(ok) })
		time.AfterFunc(60*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(s.Context(), 20*time.Millisecond)
			defer cancel()
			s.send(ctx, "GET", ok)
		})
		time.AfterFunc(70*time.Millisecond, func() {
			ctx, cancel := context.WithCancel(s.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			s.send(ctx, "GET", ok)
		})
		s.get(ok)
		time.Sleep(time.Second)
	}},
	{"token-leader-leaves", func(s *stage) {
		s.set((&login{}).policy())
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		s.send(ctx, "GET", ok)
		time.Sleep(time.Second)
	}},
	{"token-unavailable", func(s *stage) {
		s.set((&login{replies: []string{"503 "}}).policy())
		s.get(ok)
	}},
	{"token-client-refused", func(s *stage) {
		s.set(auth.New(auth.Config{Name: "orders-login", Source: (&login{replies: []string{`401 {"error":"invalid_client","error_description":"canary"}`}}).refreshToken()}))
		s.get(ok)
	}},
	{"token-reauth-required", func(s *stage) {
		s.set(steady(2), (&login{replies: []string{`400 {"error":"invalid_grant"}`}}).policy())
		s.get(ok)
		s.get(ok)
	}},
	{"token-turn-wait", func(s *stage) {
		logins := map[string]*login{"canary-1": {}, "canary-2": {replies: []string{"503 "}}}
		keyed := auth.NewKeyed(auth.KeyedConfig{
			Key: func(ctx context.Context, _ policy.Call) (string, error) { return ctx.Value(tenantKey{}).(string), nil },
			New: func(_ context.Context, tenant string) (auth.Config, error) {
				return auth.Config{Source: logins[tenant].refreshToken()}, nil
			},
			MaxFlights: 1,
			ShowDigest: true,
		})
		s.set(steady(1), keyed)
		as := func(tenant string) context.Context { return context.WithValue(s.Context(), tenantKey{}, tenant) }
		time.AfterFunc(50*time.Millisecond, func() { s.send(as("canary-2"), "GET", ok) })
		time.AfterFunc(60*time.Millisecond, func() { s.send(as("canary-2"), "GET", ok) })
		s.send(as("canary-1"), "GET", ok)
		time.Sleep(time.Second)
	}},
	{"token-source", func(s *stage) {
		s.set(auth.New(auth.Config{Source: auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "canary"}))}))
		s.get(ok)
	}},
	{"token-client-credentials", func(s *stage) {
		l := &login{}
		s.set(auth.New(auth.Config{Source: auth.ClientCredentials{TokenURL: "https://login.example.com/token", ClientID: "orders", ClientSecret: "canary", HTTPClient: &http.Client{Transport: l}}}))
		s.get(ok)
	}},
	{"token-nonce", func(s *stage) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			s.Fatal(err)
		}
		source := sourceFunc(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "canary", TokenType: "DPoP"}, nil
		})
		s.set(auth.New(auth.Config{Source: source, DPoP: auth.NewDPoP(key)}))
		s.get(replied(401, `Www-Authenticate: DPoP error="use_dpop_nonce"`, "Dpop-Nonce: canary"), ok)
	}},
}

// tenantKey is the key of contexts that have the name of a tenant.
type tenantKey struct{}

// fleetScenarios are those of tokens in a store.
var fleetScenarios = []scenario{
	{"fleet-adopted", func(s *stage) {
		l, store := &login{}, &auth.MemoryStore{}
		other := auth.New(auth.Config{Source: l.refreshToken(), Store: store, Grant: "grant"})
		if _, err := other.Token(s.Context()); err != nil {
			s.Fatal(err)
		}
		s.set(auth.New(auth.Config{Source: l.refreshToken(), Store: store, Grant: "grant"}))
		s.get(ok)
	}},
	{"fleet-save-failed", func(s *stage) {
		store := &flakyStore{Store: &auth.MemoryStore{}, fails: map[int]func(context.Context){2: nil}}
		s.set(auth.New(auth.Config{Source: (&login{}).refreshToken(), Store: store, Grant: "grant"}))
		s.get(ok)
		time.Sleep(time.Minute)
	}},
	{"fleet-save-lost", func(s *stage) {
		l, memory := &login{}, &auth.MemoryStore{}
		another := func(ctx context.Context) { // logs in
			other := auth.New(auth.Config{Source: l.refreshToken(), Store: memory, Grant: "grant"})
			if err := other.SetToken(ctx, &oauth2.Token{RefreshToken: "canary-of-another-login"}); err != nil {
				s.Error(err)
			}
		}
		store := &flakyStore{Store: memory, fails: map[int]func(context.Context){2: another}}
		s.set(auth.New(auth.Config{Source: l.refreshToken(), Store: store, Grant: "grant"}))
		s.get(ok)
		time.Sleep(time.Minute)
	}},
}
