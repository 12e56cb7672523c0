package examples_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/redisstore"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/bulkhead"
	"github.com/evenkeel-go/evenkeel/chaos"
	"github.com/evenkeel-go/evenkeel/coalesce"
	"github.com/evenkeel-go/evenkeel/fallback"
	"github.com/evenkeel-go/evenkeel/hedge"
	"github.com/evenkeel-go/evenkeel/limit"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/ratelimit"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/throttle"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// The code of the README stands here too, so that it compiles.

func newClient() (*http.Client, error) {
	source := auth.RefreshToken{
		TokenURL:     "https://login.example.com/token",
		ClientID:     "orders",
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		RefreshToken: os.Getenv("REFRESH_TOKEN"),
	}
	p, err := pipeline.New("orders",
		timeout.New(timeout.Config{Name: "total", Limit: 10 * time.Second}),  // for all attempts and delays
		retry.New(retry.Config{MaxAttempts: 4}),                              // tries again what may pass
		breaker.New(breaker.Config{OpenFor: 5 * time.Second}),                // leaves a host alone that is down
		auth.New(auth.Config{Source: source}),                                // adds a token, and replaces it after a 401
		timeout.New(timeout.Config{Name: "attempt", Limit: 2 * time.Second}), // for each attempt
	)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: p.Transport(nil)}
	return client, nil // a plain *http.Client
}

func printAll(source auth.Source) error {
	budget := retry.NewBudget(retry.BudgetConfig{}) // for all that is sent in excess
	p, err := pipeline.New("orders",
		fallback.New(fallback.Config{To: fallback.Response(503, "text/plain", "please come back later")}),
		coalesce.New(coalesce.Config{}),
		timeout.New(timeout.Config{Name: "total", Limit: 10 * time.Second}),
		retry.New(retry.Config{Budget: budget}),
		hedge.New(hedge.Config{Budget: budget}),
		breaker.New(breaker.Config{}),
		throttle.New(throttle.Config{}),
		auth.New(auth.Config{Source: source}),
		timeout.New(timeout.Config{Name: "attempt", Limit: 2 * time.Second}),
		ratelimit.New(ratelimit.Config{Rate: 50, MaxWait: time.Second}),
		bulkhead.New(bulkhead.Config{Slots: 20, MaxWait: time.Second}), // a limit somebody knows, or
		limit.New(limit.Config{}),                                      // one that nobody does
		chaos.New(chaos.Config{}),
	)
	if err != nil {
		return err
	}
	fmt.Println(p)
	for _, warning := range p.Warnings() {
		fmt.Println(warning)
	}
	return nil
}

func Example_printAll() {
	if err := printAll(auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "secret"}))); err != nil {
		fmt.Println(err)
	}
	// Output: orders: fallback → coalesce → total → retry → hedge → breaker → throttle → auth → attempt → rate limit → bulkhead → limit → chaos
}

func newReplica(source auth.Source) *auth.Policy {
	store := redisstore.Store{Client: redis.NewClient(&redis.Options{Addr: "redis.example.com:6379"})}
	authorized := auth.New(auth.Config{Source: source, Store: store, Grant: "orders"})
	return authorized
}

func Example_newReplica() {
	_, err := pipeline.New("orders", newReplica(nil))
	fmt.Println(err)
	// Output: pipeline "orders": policy 1 "auth": invalid Source nil: want a place to get tokens from
}

func Example_newClient() {
	_, err := newClient()
	fmt.Println(err) // nobody has set REFRESH_TOKEN
	// Output: pipeline "orders": policy 4 "auth": invalid Source: invalid RefreshToken: want the one to begin with
}

func newTokens(key crypto.Signer) *auth.Policy {
	dpop := auth.NewDPoP(key) // binds tokens to a key, so that nobody else can use them
	statement := auth.PrivateKeyJWT{ClientID: "orders", Audience: "https://login.example.com", Key: key}
	tokens := auth.New(auth.Config{
		Source: auth.ClientCredentials{
			TokenURL:  "https://login.example.com/token",
			ClientID:  "orders",
			Assertion: statement.Assertion, // signed anew for each token request; no secret travels
			DPoP:      dpop,
		},
		DPoP:     dpop,
		Origins:  []string{"https://api.example.com"}, // no other may see a token
		KeepWarm: true,                                // renews it in time even while there are no calls
	})
	return tokens
}

func watched() (*pipeline.Pipeline, error) {
	guard := breaker.New(breaker.Config{OpenFor: 5 * time.Second})
	p, err := pipeline.New("orders", retry.New(retry.Config{}), policy.Shadow(guard))
	return p, err
}

func Example_watched() {
	fmt.Println(watched())
	// Output: orders: retry → breaker <nil>
}

func Example_newTokens() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens := newTokens(key)
	fmt.Println(tokens.Validate(), tokens.Close(context.Background()))
	// Output: <nil> <nil>
}

type user struct{ name string }

func findUser(context.Context) (user, error) { return user{"gopher"}, nil }

func find(ctx context.Context, p *pipeline.Pipeline) (user, error) {
	user, err := pipeline.Run(ctx, p, "users.get", findUser) // any func(context.Context) (T, error)
	if errors.Is(err, breaker.ErrOpen) {
		slog.WarnContext(ctx, "the database is down", "error", err)
	}
	return user, err
}

// slow returns a policy that tells of calls that take longer than limit.
func slow(limit time.Duration) policy.Policy {
	return policy.New("slow", func(ctx context.Context, call policy.Call, next policy.Handler) error {
		start := time.Now()
		err := next(ctx, call)
		if took := time.Since(start); took > limit {
			call.Emit(ctx, "slow.noticed", slog.Duration("took", took))
		}
		return err
	})
}

var errNoRow = policy.WithClass(errors.New("no such row"), policy.Permanent)

type conflict struct{}

func (conflict) Error() string     { return "could not serialize access" }
func (conflict) NoEffect() bool    { return true }       // even a call that must not be repeated may be
func (conflict) ErrorType() string { return "conflict" } // as it is called in traces

func logged(p *pipeline.Pipeline) *pipeline.Pipeline {
	p = p.WithObserver(func(ctx context.Context, event policy.Event) {
		slog.LogAttrs(ctx, slog.LevelInfo, event.Name,
			append(event.Attrs, slog.String("call", event.Call.Name), slog.String("policy", event.Policy))...)
	})
	return p
}

func misconfigured() {
	_, err := pipeline.New("orders",
		retry.New(retry.Config{MaxAttempts: -1}),
		breaker.New(breaker.Config{FailureRatio: 1.5}),
		auth.New(auth.Config{}),
	)
	fmt.Println(err)
}

func Example_misconfigured() {
	misconfigured()
	// Output:
	// pipeline "orders": policy 1 "retry": invalid MaxAttempts -1: want at least 1
	// pipeline "orders": policy 2 "breaker": invalid FailureRatio 1.5: want more than 0 and at most 1
	// pipeline "orders": policy 3 "auth": invalid Source nil: want a place to get tokens from
}

func Example_classes() {
	fmt.Println(policy.ClassOf(errNoRow), policy.ClassOf(conflict{}), policy.NoEffect(conflict{}))
	// Output: permanent transient true
}

func Example_find() {
	p := logged(pipeline.Must(pipeline.New("users", slow(time.Second), retry.New(retry.Config{}))))
	fmt.Println(find(context.Background(), p))
	// Output:
	// {gopher} <nil>
}
