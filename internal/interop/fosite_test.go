package interop_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"golang.org/x/crypto/bcrypt"
)

var fositeServer = traits{
	name:            "fosite",
	start:           startFosite,
	lostGrantStatus: http.StatusBadRequest,
	revokesFamily:   true,
	checksSecret:    true,
	decodesBasic:    true,
	verifiesKeys:    true,
	wrongKeyCode:    "invalid_client",
	scope:           scopeIgnored,
	strange:         ":%+ /ü",
}

// A fositeProvider is a provider on the library's own storage, which is not safe for concurrent use.
type fositeProvider struct {
	mu       sync.Mutex
	provider fosite.OAuth2Provider
	store    *storage.MemoryStore
	strategy oauth2.CoreStrategy
}

func startFosite(t *testing.T, c config) *server {
	settings := &fosite.Config{
		GlobalSecret:        []byte(rand.Text() + rand.Text()),
		AccessTokenLifespan: c.lifetime,
		HashCost:            bcrypt.MinCost,
		ScopeStrategy:       fosite.ExactScopeStrategy,
	}
	p := &fositeProvider{store: newFositeStore(t, c), strategy: compose.NewOAuth2HMACStrategy(settings)}
	p.provider = compose.Compose(settings, p.store, p.strategy,
		compose.OAuth2ClientCredentialsGrantFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2ResourceOwnerPasswordCredentialsFactory, //nolint:staticcheck // Deprecated for programs: it logs in without a browser.
		compose.OAuth2TokenIntrospectionFactory,
	)

	tokens := &counter{Handler: p}
	mux := http.NewServeMux()
	mux.Handle("POST /token", tokens)
	mux.Handle("POST /login", p)
	url := serve(t, mux)
	settings.TokenURL = url + "/token"
	s := &server{
		config:   c,
		tokenURL: url + "/token",
		audience: url + "/token",
		requests: tokens.count,
		inspect:  p.inspect,
		revoke:   p.revoke,
	}
	if c.key == nil {
		s.login = loginByPassword(c, url+"/login")
	}
	return s
}

func newFositeStore(t *testing.T, c config) *storage.MemoryStore {
	hash, err := bcrypt.GenerateFromPassword([]byte(c.secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	store := storage.NewMemoryStore()
	store.Users[userName] = storage.MemoryUserRelation{Username: userName, Password: userPassword}
	client := &fosite.DefaultClient{
		ID:         c.id,
		Secret:     hash,
		Public:     c.public,
		GrantTypes: fosite.Arguments{"client_credentials", "password", "refresh_token"},
		Scopes:     fosite.Arguments{"openid", "offline_access"},
	}
	store.Clients[c.id] = client
	if c.key != nil {
		store.Clients[c.id] = &fosite.DefaultOpenIDConnectClient{
			DefaultClient:                     client,
			JSONWebKeys:                       keySet(c.key),
			TokenEndpointAuthMethod:           "private_key_jwt",
			TokenEndpointAuthSigningAlgorithm: "ES256",
		}
	}
	return store
}

// ServeHTTP implements [http.Handler]. It is the token endpoint.
func (p *fositeProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx := r.Context()
	request, err := p.provider.NewAccessRequest(ctx, r, new(fosite.DefaultSession))
	if err != nil {
		p.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	response, err := p.provider.NewAccessResponse(ctx, request)
	if err != nil {
		p.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	p.provider.WriteAccessResponse(ctx, w, request, response)
}

func (p *fositeProvider) inspect(ctx context.Context, token string) (scopes string, active bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	use, request, err := p.provider.IntrospectToken(ctx, token, fosite.AccessToken, new(fosite.DefaultSession))
	if err != nil || use != fosite.AccessToken {
		return "", false, nil
	}
	return strings.Join(request.GetGrantedScopes(), " "), true, nil
}

func (p *fositeProvider) revoke(t *testing.T, token string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	signature := p.strategy.AccessTokenSignature(t.Context(), token)
	if err := p.store.DeleteAccessTokenSession(t.Context(), signature); err != nil {
		t.Fatal(err)
	}
}
