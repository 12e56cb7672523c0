package auth_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A trouble is what becomes of a token request, and what is told of it.
type trouble struct {
	status    int
	body      string
	outcome   string
	code      string
	errorType string
}

var troubles = map[string]trouble{
	"none":           {0, "", "refreshed", "", ""},
	"outage":         {503, "", "transient", "", "503"},
	"malformed":      {200, "?", "transient", "", "auth"},
	"server error":   {400, `{"error":"server_error"}`, "transient", "server_error", "server_error"},
	"lost grant":     {400, `{"error":"invalid_grant"}`, "reauth_required", "invalid_grant", "invalid_grant"},
	"unknown client": {401, `{"error":"invalid_client"}`, "config_error", "invalid_client", "invalid_client"},
	"unknown code":   {400, `{"error":"CANARY"}`, "config_error", "other", "400"},
}

// reasons are why a token is asked for, and how it comes to that: first makes a
// call that nobody listens to.
var reasons = map[string]func(t *testing.T, p *auth.Policy, first func(), call policy.Call) error{
	"missing": func(t *testing.T, p *auth.Policy, _ func(), call policy.Call) error {
		return p.Do(t.Context(), call, succeed)
	},
	"expired": func(t *testing.T, p *auth.Policy, first func(), call policy.Call) error {
		first()
		time.Sleep(time.Hour)
		return p.Do(t.Context(), call, succeed)
	},
	"after 401": func(t *testing.T, p *auth.Policy, first func(), call policy.Call) error {
		first()
		return p.Do(t.Context(), call, (&api{refuses: refuse("AT1")}).do)
	},
	"proactive": func(t *testing.T, p *auth.Policy, first func(), call policy.Call) error {
		first()
		time.Sleep(soft)
		return p.Do(t.Context(), call, succeed)
	},
	"step-up": func(t *testing.T, p *auth.Policy, first func(), call policy.Call) error {
		first()
		return p.Do(t.Context(), call, (&api{refuses: refuse("AT1"), refusal: mfa()}).do)
	},
}

// Each reason, with each outcome, is told once, in the words of closed lists.
func TestAuth44ReasonsAndOutcomes(t *testing.T) {
	for reason, begin := range reasons {
		for name, trouble := range troubles {
			t.Run(reason+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					failing := false
					as := &server{delay: time.Second, answer: func(int, url.Values) (int, string) {
						if failing {
							return trouble.status, trouble.body
						}
						return 0, ""
					}}
					source, said := as.refreshToken(), &transcript{}
					stepUp := func(ctx context.Context, old *oauth2.Token, _ []auth.Challenge) (*oauth2.Token, error) {
						return source.Token(ctx, old)
					}
					p := auth.New(auth.Config{Source: source, StepUp: stepUp})
					first := func() {
						_ = p.Do(t.Context(), testCall, succeed)
						failing = true
					}
					failing = reason == "missing"
					err := begin(t, p, first, testCall.WithRecorder(said))
					time.Sleep(time.Minute)
					if got, want := said.String(), transcriptOf(reason, trouble, err != nil); got != want {
						t.Errorf("said\n%s\nwant\n%s", got, want)
					}
					if wantErr := trouble.outcome != "refreshed" && reason != "proactive"; (err != nil) != wantErr {
						t.Errorf("Do() = %v, want an error: %v", err, wantErr)
					}
				})
			})
		}
	}
}

// transcriptOf returns what is to be said of a flight.
func transcriptOf(reason string, tr trouble, fails bool) string {
	why := " grant_type=refresh_token refresh.reason=" + reason
	lines := []string{"begin token refresh: " + reason + why}
	if tr.outcome == "refreshed" {
		generation := 2
		if reason == "missing" {
			generation = 1
		}
		return strings.Join(append(lines,
			fmt.Sprintf("auth.refreshed%s outcome=refreshed generation=%d rotated=true waiters=0 token.expires_in=1h0m0s", why, generation),
			"end token refresh: "+reason), "\n")
	}
	outcome := " outcome=" + tr.outcome
	if tr.code != "" {
		outcome += " error_code=" + tr.code
	}
	lines = append(lines, "auth.refresh_failed"+why+outcome+" waiters=0", "end token refresh: "+reason+": "+tr.errorType)
	if fails {
		lines = append(lines, "auth.failed"+outcome)
	}
	return strings.Join(lines, "\n")
}

// Whoever leaves first, what becomes of a flight is told once.
func TestAuth44EveryOutcomeIsToldOnce(t *testing.T) {
	const delay = time.Second
	for name, patience := range map[string]time.Duration{"leader leaves": delay / 2, "both at a time": delay, "flight lands": 2 * delay} {
		for _, fails := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fails=%v", name, fails), func(t *testing.T) {
				for range 20 {
					synctest.Test(t, func(t *testing.T) {
						as := &server{delay: delay}
						if fails {
							as.setCurrent(9)
						}
						p, leader, others := as.policy(), &transcript{}, &transcript{}
						var wg sync.WaitGroup
						wg.Go(func() {
							ctx, cancel := context.WithTimeout(t.Context(), patience)
							defer cancel()
							_ = p.Do(ctx, testCall.WithRecorder(leader), succeed)
						})
						synctest.Wait()
						for range 3 {
							wg.Go(func() { _ = p.Do(t.Context(), testCall.WithRecorder(others), succeed) })
						}
						wg.Wait()
						time.Sleep(time.Minute)
						event := "auth.refreshed"
						if fails {
							event = "auth.refresh_failed"
						}
						for _, want := range []string{"begin token refresh: missing", event, "end token refresh: missing", "waiters=3"} {
							if got := strings.Count(leader.String(), want); got != 1 {
								t.Errorf("said %d times %q, want once: %s", got, want, leader)
							}
						}
						if strings.Contains(others.String(), "refresh") || strings.Count(others.String(), "begin token wait") != 3 || strings.Count(others.String(), "end token wait") != 3 {
							t.Errorf("those who waited said %s, want that they did", others)
						}
					})
				}
			})
		}
	}
}

// A flight whose outcome nobody wants any more is not told of, but ends.
func TestAuth44UnwantedOutcomes(t *testing.T) {
	t.Run("superseded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, said := (&server{delay: time.Second}).policy(), &transcript{}
			go func() { _ = p.Do(t.Context(), testCall.WithRecorder(said), succeed) }()
			synctest.Wait()
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET", RefreshToken: "RT7"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got, want := said.String(), `begin token refresh: missing grant_type=refresh_token refresh.reason=missing
end token refresh: missing`; got != want {
				t.Errorf("said\n%s\nwant\n%s", got, want)
			}
		})
	})
	t.Run("declined", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &stepper{answer: func(context.Context, int) (*oauth2.Token, error) { return nil, nil }}
			p, said := s.policy(&server{}), &transcript{}
			_ = p.Do(t.Context(), testCall, succeed)
			_ = p.Do(t.Context(), testCall.WithRecorder(said), (&api{refuses: refuseAll, refusal: mfa()}).do)
			if got, want := said.String(), `begin token refresh: step-up grant_type=refresh_token refresh.reason=step-up
end token refresh: step-up
auth.deferred`; got != want {
				t.Errorf("said\n%s\nwant\n%s", got, want)
			}
		})
	})
}

func TestAuth44Adopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store, said := &server{delay: time.Second}, new(auth.MemoryStore), &transcript{}
		config := auth.Config{Source: as.refreshToken(), Store: store, Grant: "orders"}
		if err := auth.New(config).Do(t.Context(), testCall, succeed); err != nil {
			t.Fatal(err)
		}
		if err := auth.New(config).Do(t.Context(), testCall.WithRecorder(said), succeed); err != nil {
			t.Fatal(err)
		}
		if got, want := said.String(), `begin token refresh: missing grant_type=refresh_token refresh.reason=missing
auth.adopted grant_type=refresh_token refresh.reason=missing outcome=adopted generation=1 rotated=false waiters=0 lease.wait=0s token.expires_in=1h0m0s
end token refresh: missing`; got != want {
			t.Errorf("said\n%s\nwant\n%s", got, want)
		}
	})
}

func TestAuth44GrantTypes(t *testing.T) {
	tests := map[string]struct {
		source auth.Source
		want   string
	}{
		"refresh token":      {(&server{}).refreshToken(), "refresh_token"},
		"client credentials": {(&server{}).clientCredentials(), "client_credentials"},
		"token source":       {auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "AT"})), "token_source"},
		"of a user": {source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "AT"}, nil
		}), "custom"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			said := &transcript{}
			if err := auth.New(auth.Config{Source: tt.source}).Do(t.Context(), testCall.WithRecorder(said), succeed); err != nil {
				t.Fatal(err)
			}
			if want := "grant_type=" + tt.want + " "; strings.Count(said.String(), want) != 2 {
				t.Errorf("said\n%s\nwant %s", said, want)
			}
		})
	}
}
