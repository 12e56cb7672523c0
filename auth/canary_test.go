package auth_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
)

// needles are the canary in all ways in which it may be written.
var needles = func() []string {
	const canary = "CANARY"
	found := []string{canary, hex.EncodeToString([]byte(canary)), "67 65 78 65 82 89"}
	for i, cut := range [][2]int{{0, 8}, {2, 9}, {3, 10}} { // by where in a longer text it is
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + canary))
		found = append(found, text[cut[0]:cut[1]])
	}
	return found
}()

// shows returns the way to print v that shows a canary, and what it prints.
func shows(v any) (way, text string) {
	texts := maps.Clone(prints(v))
	if err, ok := v.(error); ok {
		texts["Error"] = err.Error()
	}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("test", slog.Any("v", v), slog.Group("g", "v", v))
		slog.New(handler).With("v", v).Info("test", "list", []any{v}, "map", map[string]any{"v": v}, "text", fmt.Sprint(v))
	}
	texts["slog"] += logged.String()
	for way, text := range texts {
		for _, needle := range needles {
			if strings.Contains(text, needle) || strings.Contains(text, strings.ToUpper(needle)) {
				return way, text
			}
		}
	}
	return "", ""
}

// tree returns err and all errors that it wraps.
func tree(err error) []error {
	if err == nil {
		return nil
	}
	all := []error{err}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = append(all, tree(e.Unwrap())...)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			all = append(all, tree(err)...)
		}
	}
	return all
}

// A world is an authorization server and an API that repeat whatever they get,
// and a client that traces all it does. Every secret has a canary in it.
type world struct {
	login  func(n int, echo string) (*http.Response, error) // instead of a token, to the n-th token request
	refuse func(n int) bool                                 // whether the API refuses the n-th request
	code   string                                           // of the API's refusals

	source auth.RefreshToken
	policy *auth.Policy
	api    *pipeline.Pipeline
	client *http.Client
	spans  *tracetest.InMemoryExporter
	other  *signals // metrics and logs

	mu     sync.Mutex
	logins int
	calls  int
	sent   strings.Builder // what the servers got
	heard  []policy.Event
}

const canaryJWT = "e30.eyJzdWIiOiJDQU5BUlkifQ.c2ln" // {"sub":"CANARY"}

// clients are the ways to be authenticated, with what must have been sent then.
var clients = map[string]struct {
	set  func(*auth.RefreshToken)
	sent []string
}{
	"secret in the header": {func(s *auth.RefreshToken) { s.ClientSecret = "CANARY-SECRET" }, []string{base64.StdEncoding.EncodeToString([]byte("client:CANARY-SECRET"))}},
	"secret in the body": {func(s *auth.RefreshToken) {
		s.ClientSecret, s.AuthStyle = "CANARY-SECRET", oauth2.AuthStyleInParams
	}, []string{"client_secret=CANARY-SECRET"}},
	"secret from elsewhere": {func(s *auth.RefreshToken) {
		s.SecretFrom = func(context.Context) (string, error) { return "CANARY-SECRET", nil }
	}, nil},
	"assertion": {func(s *auth.RefreshToken) {
		s.Assertion = func(context.Context) (string, error) { return "CANARY-ASSERTION", nil }
	}, []string{"client_assertion=CANARY-ASSERTION"}},
	"DPoP": {func(s *auth.RefreshToken) {
		s.DPoP = auth.NewDPoP(ed25519.NewKeyFromSeed(bytes.Repeat([]byte("CANARY!!"), 4)))
	}, []string{"Dpop"}},
}

func newWorld(t *testing.T, setClient func(*auth.RefreshToken)) *world {
	t.Helper()
	w := &world{spans: tracetest.NewInMemoryExporter(), other: new(signals), code: "invalid_token"}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	hear := func(_ context.Context, event policy.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.heard = append(w.heard, event)
	}
	traced := func(name string, policies ...policy.Policy) *pipeline.Pipeline {
		return pipeline.Must(pipeline.New(name, policies...)).WithTracerProvider(provider).WithMeterProvider(metrics{signals: w.other}).
			WithLoggerProvider(logs{signals: w.other}).WithObserver(hear)
	}
	w.source = auth.RefreshToken{TokenURL: tokenURL, ClientID: "client", RefreshToken: "CANARY-RT1", Params: url.Values{"resource": {"CANARY-PARAM"}}}
	w.source.HTTPClient = &http.Client{Transport: traced("login", retry.New(retry.Config{MaxAttempts: 1})).Transport(roundTripper(w.serveLogin))}
	setClient(&w.source)
	w.policy = auth.New(w.config())
	w.api = traced("api", retry.New(retry.Config{MaxAttempts: 2}), breaker.New(breaker.Config{}), w.policy)
	w.client = &http.Client{Transport: w.api.Transport(roundTripper(w.serveAPI))}
	return w
}

func (w *world) config() auth.Config {
	return auth.Config{Source: w.source, DPoP: w.source.DPoP, JWTExpiry: true, StepUp: func(ctx context.Context, old *oauth2.Token, _ []auth.Challenge) (*oauth2.Token, error) {
		token, err := w.source.Token(ctx, old)
		if err == nil {
			token.AccessToken += "CANARY-UP"
		}
		return token, err
	}}
}

// kind is the type of the tokens.
func (w *world) kind() string {
	if w.source.DPoP != nil {
		return "DPoP"
	}
	return "Bearer"
}

// serveLogin answers token requests.
func (w *world) serveLogin(r *http.Request) (*http.Response, error) {
	n, echo := w.note(r, &w.logins)
	if w.login != nil {
		if response, err := w.login(n, echo); response != nil || err != nil {
			if response != nil {
				response.Request = r
			}
			return response, err
		}
	}
	return response(r, 200, fmt.Sprintf(`{"access_token":"%s%d","token_type":"%s","refresh_token":"CANARY-RT%d","expires_in":3600,"scope":"CANARY"}`, canaryJWT, n, w.kind(), n+1)), nil
}

// serveAPI answers the API's requests.
func (w *world) serveAPI(r *http.Request) (*http.Response, error) {
	n, echo := w.note(r, &w.calls)
	answer := response(r, 200, echo)
	if w.refuse != nil && w.refuse(n) {
		answer = response(r, 401, echo)
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		answer.Header.Set("WWW-Authenticate", fmt.Sprintf(`%s error=%q, error_description=%q, realm=%q, CANARY=%q`, scheme, w.code, echo, echo, echo))
	}
	answer.Header.Set("X-Echo", echo)
	return answer, nil
}

// note takes down a request, and returns its number and its secrets.
func (w *world) note(r *http.Request, count *int) (n int, echo string) {
	body := []byte(nil)
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	echo = strings.NewReplacer("\r", "", "\n", " ", `"`, "").Replace(fmt.Sprint(string(body), " ", r.Header))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent.WriteString(echo)
	*count++
	return *count, echo
}

// get sends a request to the API.
func (w *world) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, apiKey+"/orders", nil)
	if err != nil {
		return err
	}
	response, err := w.client.Do(req)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// echoes are answers to token requests that fail, with what came with them.
var echoes = map[string]func(echo string) (*http.Response, error){
	"lost grant": func(echo string) (*http.Response, error) {
		return echoing(400, jsonType, fmt.Sprintf(`{"error":"invalid_grant","error_description":%q,"error_uri":%q}`, echo, echo)), nil
	},
	"unknown client": func(echo string) (*http.Response, error) {
		return echoing(401, jsonType, fmt.Sprintf(`{"error":"invalid_client","error_description":%q}`, echo)), nil
	},
	"unknown code": func(echo string) (*http.Response, error) {
		return echoing(400, jsonType, fmt.Sprintf(`{"error":%q}`, echo)), nil
	},
	"code in a form": func(echo string) (*http.Response, error) {
		return echoing(400, formType, "error="+url.QueryEscape(echo)), nil
	},
	"outage":    func(echo string) (*http.Response, error) { return echoing(503, "text/plain", echo), nil },
	"too many":  func(echo string) (*http.Response, error) { return echoing(429, "text/plain", echo), nil },
	"redirect":  func(echo string) (*http.Response, error) { return echoing(307, "text/plain", echo), nil },
	"malformed": func(echo string) (*http.Response, error) { return echoing(200, jsonType, echo), nil },
	"unknown type": func(echo string) (*http.Response, error) {
		return echoing(200, jsonType, `{"access_token":"CANARY","token_type":"CANARY"}`), nil
	},
	"unprintable": func(string) (*http.Response, error) {
		return echoing(200, jsonType, `{"access_token":"CANARY\n","token_type":"Bearer"}`), nil
	},
	"expired": func(string) (*http.Response, error) {
		return echoing(200, jsonType, `{"access_token":"CANARY","token_type":"DPoP","expires_in":0}`), nil
	},
	"nonce": func(echo string) (*http.Response, error) {
		answer := echoing(400, jsonType, fmt.Sprintf(`{"error":"use_dpop_nonce","error_description":%q}`, echo))
		answer.Header.Set("DPoP-Nonce", "CANARY-NONCE")
		return answer, nil
	},
	"transport": func(echo string) (*http.Response, error) { return nil, errors.New(echo) },
	"cut off": func(echo string) (*http.Response, error) {
		answer := echoing(200, jsonType, "")
		answer.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"x":"`+echo), broken{}))
		return answer, nil
	},
	"timeout": func(string) (*http.Response, error) {
		time.Sleep(time.Minute)
		return nil, context.DeadlineExceeded
	},
	"panic": func(echo string) (*http.Response, error) { panic(echo) },
}

func echoing(status int, mediaType, body string) *http.Response {
	header := http.Header{"Content-Type": {mediaType}, "Location": {"https://other.example/?CANARY"}, "Www-Authenticate": {"CANARY realm=CANARY"}, "Retry-After": {"CANARY"}}
	return &http.Response{StatusCode: status, Status: "CANARY", Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// No signal tells a secret, whatever happens, and however the client is
// authenticated.
func TestAuth40NoSignalTellsASecret(t *testing.T) {
	once := func(n int) bool { return n == 1 }
	always := func(int) bool { return true }
	paths := map[string]func(ctx context.Context, w *world) []error{
		"success": func(ctx context.Context, w *world) []error { return []error{w.get(ctx)} },
		"refused": func(ctx context.Context, w *world) []error { w.refuse = once; return []error{w.get(ctx)} },
		"refused always": func(ctx context.Context, w *world) []error {
			w.refuse = always
			return []error{w.get(ctx), w.get(ctx)}
		},
		"invalidated": func(ctx context.Context, w *world) []error {
			token, err := w.policy.Token(ctx)
			w.policy.Invalidate(token)
			return []error{err, w.get(ctx)}
		},
		"renewed": func(ctx context.Context, w *world) []error {
			first := w.get(ctx)
			time.Sleep(soft)
			return []error{first, w.get(ctx)}
		},
		"step-up": func(ctx context.Context, w *world) []error {
			w.refuse, w.code = once, "insufficient_user_authentication"
			return []error{w.get(ctx)}
		},
		"set": func(ctx context.Context, w *world) []error {
			first := w.get(ctx)
			return []error{
				first, w.policy.SetToken(ctx, &oauth2.Token{AccessToken: "CANARY-SET", RefreshToken: "CANARY-RT9", TokenType: w.kind()}), w.get(ctx),
				w.policy.SetToken(ctx, &oauth2.Token{AccessToken: "CANARY-SET\n"}),
				w.policy.SetToken(ctx, &oauth2.Token{AccessToken: "CANARY-SET", TokenType: "CANARY-TYPE"}),
				w.policy.SetToken(ctx, &oauth2.Token{AccessToken: "CANARY-SET", TokenType: w.kind(), Expiry: time.Now().Add(-1)}),
			}
		},
		"closed": func(ctx context.Context, w *world) []error { return []error{w.policy.Close(ctx), w.get(ctx)} },
		"panic of the call": func(ctx context.Context, w *world) []error {
			defer func() { _ = recover() }()
			return []error{w.api.Do(ctx, testCall, func(context.Context, policy.Call) error { panic("CANARY-PANIC") })}
		},
		"left": func(ctx context.Context, w *world) []error {
			w.login = func(int, string) (*http.Response, error) { time.Sleep(time.Second); return nil, nil }
			ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			return []error{w.get(ctx)}
		},
	}
	for name, echo := range echoes {
		paths[name] = func(ctx context.Context, w *world) []error {
			w.login = func(_ int, text string) (*http.Response, error) { return echo(text) }
			return []error{w.get(ctx)}
		}
		paths[name+" after 401"] = func(ctx context.Context, w *world) []error {
			w.refuse, w.login = always, func(n int, text string) (*http.Response, error) {
				if n == 1 {
					return nil, nil
				}
				return echo(text)
			}
			first := w.get(ctx)
			time.Sleep(time.Second)
			return []error{first, w.get(ctx)}
		}
		paths[name+" in a step-up"] = func(ctx context.Context, w *world) []error {
			w.code = "insufficient_scope"
			return paths[name+" after 401"](ctx, w)
		}
	}
	sent := map[string]string{"success": canaryJWT + "1", "renewed": "refresh_token=CANARY-RT2", "set": "CANARY-SET", "step-up": "CANARY-UP"}
	for client, tt := range clients {
		for name, path := range paths {
			if strings.Contains(name, " after 401") && client != "DPoP" || strings.Contains(name, " in a step-up") && client != "assertion" {
				continue // the same for all
			}
			t.Run(client+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, tt.set)
					errs := path(t.Context(), w)
					time.Sleep(time.Hour)
					if name != "closed" {
						w.wantSent(t, append(tt.sent, "refresh_token=CANARY-RT1", "resource=CANARY-PARAM", sent[name])...)
					}
					w.wantNoneShown(t, errs)
				})
			})
		}
	}
}

// wantSent checks that secrets have been where they belong, or else they could not
// have been told.
func (w *world) wantSent(t *testing.T, secrets ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range secrets {
		if !strings.Contains(w.sent.String(), secret) {
			t.Errorf("servers got %s, want %s too", w.sent.String(), secret)
		}
	}
}

// wantNoneShown checks all signals.
func (w *world) wantNoneShown(t *testing.T, errs []error) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	type key struct{}
	signals := map[string]any{
		"policy": w.policy, "pipeline": w.api, "client": w.client, "config": w.config(), "pointer to config": new(w.config()),
		"source": w.source, "pointer to source": &w.source, "token source": w.policy.TokenSource(context.WithValue(t.Context(), key{}, "CANARY")),
		"struct with a policy": struct{ A, P any }{1, w.policy},
		"hidden policy": struct {
			A any
			p *auth.Policy
		}{1, w.policy},
		"hidden client": struct {
			A any
			c *http.Client
		}{1, w.client},
	}
	for i, err := range errs {
		for j, err := range tree(err) {
			signals[fmt.Sprintf("error %d, wrapped %d times", i, j)] = err
		}
	}
	for i, event := range w.heard {
		signals[fmt.Sprintf("event %d", i)] = event
		signals[fmt.Sprintf("attributes of event %d", i)] = attrs(event.Attrs)
	}
	for what, signal := range signals {
		if way, text := shows(signal); way != "" {
			t.Errorf("%s, printed by %s, shows a secret: %s", what, way, text)
		}
	}
	spans := w.spans.GetSpans()
	for _, span := range spans {
		text, err := json.Marshal(span)
		if err != nil {
			t.Fatal(err)
		}
		if way, text := shows(string(text) + fmt.Sprintf("%+v", span)); way != "" {
			t.Errorf("span %s shows a secret: %s", span.Name, text)
		}
	}
	metered := w.other.String()
	if way, _ := shows(metered); way != "" {
		t.Errorf("a metric or log shows a secret: %s", metered)
	}
	if len(spans) == 0 || !strings.Contains(metered, "evenkeel.") {
		t.Errorf("%d spans, and metrics and logs %q, want those of the calls", len(spans), metered)
	}
}
