package pipeline_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
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

func ExamplePipeline_Warnings() {
	p := pipeline.Must(pipeline.New("orders",
		timeout.New(timeout.Config{Name: "total", Limit: 2 * time.Second}),
		retry.New(retry.Config{}),
		timeout.New(timeout.Config{Name: "attempt", Limit: 5 * time.Second}),
	))
	for _, warning := range p.Warnings() {
		fmt.Println(warning)
	}
	// Output:
	// pipeline "orders": policy 1 "total" outside of policy 3 "attempt": an attempt that times out after 5s leaves nothing of the call's 2s for a second one; give the attempt less than half of it
}

// A kind is a policy of some kind that only passes on.
type kind string

func (k kind) Name() string { return "my " + string(k) }
func (k kind) Type() string { return string(k) }

func (k kind) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	return next(ctx, call)
}

func within(name string, d time.Duration) policy.Policy {
	return timeout.New(timeout.Config{Name: name, Limit: d})
}

func TestWarnings(t *testing.T) {
	nested := pipeline.Must(pipeline.New("nested", policy.New("pass", passOn), tries(3)))
	perTenant := auth.NewKeyed(auth.KeyedConfig{
		Key: func(context.Context, policy.Call) (string, error) { return "acme", nil },
		New: func(context.Context, string) (auth.Config, error) { return auth.Config{}, nil },
	})
	tenant := func(context.Context, policy.Call) string { return "acme" }
	tests := []struct {
		name     string
		policies []policy.Policy
		want     []string // in each warning, in order
	}{
		{"recommended", []policy.Policy{
			fallback.New(fallback.Config{To: fallback.Value(1)}), perTenant, coalesce.New(coalesce.Config{}), within("total", 10*time.Second), tries(4),
			hedge.New(hedge.Config{}), breaker.New(breaker.Config{}), throttle.New(throttle.Config{}), within("attempt", 2*time.Second),
			ratelimit.New(ratelimit.Config{}), bulkhead.New(bulkhead.Config{}), limit.New(limit.Config{}), chaos.New(chaos.Config{}),
		}, nil},
		{"fallback outermost", []policy.Policy{kind("fallback"), tries(4), breaker.New(breaker.Config{})}, nil},
		{"one retry that does not retry", []policy.Policy{tries(1), tries(4)}, nil},
		{"timeouts without a retry", []policy.Policy{within("a", time.Second), within("b", time.Second), tries(4)}, nil},
		{"unknown limit", []policy.Policy{within("a", time.Second), tries(4), kind("timeout")}, nil},
		{"two policies of no kind", []policy.Policy{policy.New("x", passOn), policy.New("x", passOn)}, nil},

		{"hedge outside of a breaker that it would trip", []policy.Policy{tries(2), hedge.New(hedge.Config{}), breaker.New(breaker.Config{ConsecutiveFailures: 2})}, []string{
			`policy 2 "hedge" outside of policy 3 "breaker": a single call, of which all 2 attempts fail, opens the circuit, for which 2 failures in a row are enough; list the breaker before the hedge, or let it take more`,
		}},
		{"many hedges outside of a breaker", []policy.Policy{hedge.New(hedge.Config{MaxHedges: 4}), breaker.New(breaker.Config{})}, []string{"all 5 attempts fail"}},
		{"hedge outside of a breaker that it would not trip", []policy.Policy{hedge.New(hedge.Config{MaxHedges: 3}), breaker.New(breaker.Config{}), kind("breaker")}, nil},
		{"retry inside of breaker", []policy.Policy{breaker.New(breaker.Config{Name: "api"}), tries(2)}, []string{
			`policy 1 "api" outside of policy 2 "retry": the circuit does not see the failures that the retry hides, and ends no attempts when it opens; list the retry before the breaker`,
		}},
		{"in a shadow", []policy.Policy{policy.Shadow(breaker.New(breaker.Config{})), tries(2)}, []string{"list the retry before the breaker"}},
		{"fallback innermost", []policy.Policy{tries(2), breaker.New(breaker.Config{}), fallback.New(fallback.Config{To: fallback.Value(1)})}, []string{
			`policy 1 "retry" outside of policy 3 "fallback": what the fallback settles is not retried; list the fallback before the retry`,
			`policy 2 "breaker" outside of policy 3 "fallback": the circuit does not see the failures that the fallback hides; list the fallback before the breaker`,
		}},
		{"two retries", []policy.Policy{tries(4), nested}, []string{
			`policy 1 "retry" outside of policy 2.2 "retry": their attempts multiply, 4 × 3 of each call; keep the one that is closest to what fails`,
		}},
		{"a retry of somebody else's", []policy.Policy{nested, kind("retry")}, []string{
			`policy 1.2 "retry" outside of policy 2 "my retry": their attempts multiply; keep the one that is closest to what fails`,
		}},
		{"coalesce outside of what tells users apart", []policy.Policy{coalesce.New(coalesce.Config{}), tries(2), perTenant}, []string{
			`policy 1 "coalesce" outside of policy 3 "auth": a call may get what another one was given on behalf of somebody else; list the auth before the coalesce, or have the Key of the coalesce tell them apart`,
		}},
		{"coalesce that tells users apart", []policy.Policy{coalesce.New(coalesce.Config{Key: tenant}), tries(2), perTenant}, nil},
		{"coalesce inside of what tells users apart", []policy.Policy{perTenant, coalesce.New(coalesce.Config{}), tries(2)}, nil},
		{"coalesce outside of a token for all", []policy.Policy{coalesce.New(coalesce.Config{}), tries(2), kind("auth")}, nil},
		{"hedge outside of coalesce", []policy.Policy{hedge.New(hedge.Config{}), coalesce.New(coalesce.Config{})}, []string{
			`policy 1 "hedge" outside of policy 2 "coalesce": a hedge joins the execution that it is to overtake; list the coalesce before the hedge`,
		}},
		{"retry inside of what watches the server", []policy.Policy{throttle.New(throttle.Config{}), limit.New(limit.Config{}), tries(2)}, []string{
			`policy 1 "throttle" outside of policy 3 "retry": the throttle does not see the refusals that the retry hides; list the retry before the throttle`,
			`policy 2 "limit" outside of policy 3 "retry": the limit takes the delays of the retry for the latency of the server; list the retry before the limit`,
		}},
		{"no time for a second attempt", []policy.Policy{within("total", time.Second), tries(2), within("attempt", time.Second)}, []string{
			`policy 1 "total" outside of policy 3 "attempt": an attempt that times out after 1s leaves nothing of the call's 1s for a second one; give the attempt less than half of it`,
		}},
		{"time for a second attempt", []policy.Policy{within("total", time.Second+1), tries(2), within("attempt", time.Second)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := pipeline.Must(pipeline.New("p", tt.policies...)).Warnings()
			if !slices.EqualFunc(got, tt.want, func(got, want string) bool {
				return strings.HasPrefix(got, `pipeline "p": `) && strings.Contains(got, want)
			}) {
				t.Errorf("Warnings() =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	if got := (*pipeline.Pipeline)(nil).Warnings(); got != nil {
		t.Errorf("Warnings() of nil = %q, want none", got)
	}
}

// What the warnings of a coalesce say is so.
func TestHazardsOfSharedExecutions(t *testing.T) {
	type user struct{}
	both := []string{"ann", "bob"}
	tokens := func() *auth.Keyed {
		return auth.NewKeyed(auth.KeyedConfig{
			Key: func(ctx context.Context, _ policy.Call) (string, error) { return ctx.Value(user{}).(string), nil },
			New: func(_ context.Context, key string) (auth.Config, error) {
				return auth.Config{Source: auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: key}))}, nil
			},
		})
	}
	tests := []struct {
		name     string
		policies []policy.Policy
		users    []string // who call at the same time
		want     string   // the token of each request
	}{
		{"coalesce outside of auth", []policy.Policy{coalesce.New(coalesce.Config{}), tokens()}, both, `["Bearer ann"]`},
		{"coalesce inside of auth", []policy.Policy{tokens(), coalesce.New(coalesce.Config{})}, both, `["Bearer ann" "Bearer bob"]`},
		{"hedge outside of coalesce", []policy.Policy{hedge.New(hedge.Config{Delay: time.Millisecond}), coalesce.New(coalesce.Config{})}, both[:1], `[""]`},
		{"hedge inside of coalesce", []policy.Policy{coalesce.New(coalesce.Config{}), hedge.New(hedge.Config{Delay: time.Millisecond})}, both[:1], `["" ""]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var got []string
				client := pipeline.Must(pipeline.New("p", tt.policies...)).Transport(roundTripper(func(req *http.Request) (*http.Response, error) {
					mu.Lock()
					got = append(got, req.Header.Get("Authorization"))
					mu.Unlock()
					return late(time.Second, ok)(req)
				}))
				var all sync.WaitGroup
				for i, name := range tt.users {
					all.Go(func() {
						time.Sleep(time.Duration(i) * 10 * time.Millisecond)
						response, err := client.RoundTrip(request(t, "GET", "https://api.example.com", nil).WithContext(context.WithValue(t.Context(), user{}, name)))
						if err != nil {
							t.Error(err)
							return
						}
						_ = response.Body.Close()
					})
				}
				all.Wait()
				if got := fmt.Sprintf("%q", got); got != tt.want {
					t.Errorf("requests had the tokens %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestImpossibleOrdersAreRefused(t *testing.T) {
	guard := breaker.New(breaker.Config{Probes: 1})
	inner := pipeline.Must(pipeline.New("inner", guard))
	slots, inFlight, shared := bulkhead.New(bulkhead.Config{}), limit.New(limit.Config{}), coalesce.New(coalesce.Config{})
	tests := []struct {
		name     string
		policies []policy.Policy
		want     string // "" for none
	}{
		{"same breaker", []policy.Policy{guard, tries(2), guard}, `pipeline "p": policy 3 "breaker": is policy 1 "breaker" once more, so that calls would stand in their own way: want another one made with New`},
		{"in a nested pipeline", []policy.Policy{guard, inner}, `pipeline "p": policy 2.1 "breaker": is policy 1 "breaker" once more`},
		{"in a shadow", []policy.Policy{policy.Shadow(guard), guard}, `pipeline "p": policy 2 "breaker": is policy 1 "breaker" once more`},
		{"same bulkhead", []policy.Policy{slots, tries(2), slots}, `pipeline "p": policy 3 "bulkhead": is policy 1 "bulkhead" once more`},
		{"same limit", []policy.Policy{inFlight, policy.Shadow(inFlight)}, `pipeline "p": policy 2 "limit": is policy 1 "limit" once more`},
		{"same coalesce", []policy.Policy{shared, shared}, `pipeline "p": policy 2 "coalesce": is policy 1 "coalesce" once more`},
		{"another breaker", []policy.Policy{guard, breaker.New(breaker.Config{})}, ""},
		{"same logging", []policy.Policy{kind("log"), tries(2), kind("log")}, ""},
		{"not comparable", []policy.Policy{incomparable{}, incomparable{}}, ""},
		{"shadow of a nil pointer", []policy.Policy{policy.Shadow((*breaker.Policy)(nil))}, `pipeline "p": policy 1: invalid policy nil: want one made with New`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pipeline.New("p", tt.policies...)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
				t.Errorf("New() = %v, want %q", err, tt.want)
			}
		})
	}
}

// An incomparable policy is of a kind that calls hold something of.
type incomparable struct{ _ func() }

func (incomparable) Name() string { return "bulkhead" }

func (incomparable) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	return next(ctx, call)
}
