package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth14ReplayOnce(t *testing.T) {
	tests := []struct {
		name    string
		refuses func(string) bool
		want    error
	}{
		{"second token accepted", refuse("AT1"), nil},
		{"second refusal is the result", refuseAll, policy.ErrUnauthenticated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{}, &api{refuses: tt.refuses}
				err := as.policy().Do(t.Context(), testCall, rs.do)
				if err != tt.want {
					t.Errorf("Do() = %v, want %v", err, tt.want)
				}
				if got := rs.tokens(); got != "AT1 AT2" || as.count() != 2 {
					t.Errorf("calls with tokens %q after %d token requests, want AT1 and AT2 after 2", got, as.count())
				}
			})
		})
	}
}

// The next token may have come before the refusal, and been revoked together with
// the first. Then it is not the last word, but the one after that is.
func TestAuth15NextTokenIsOlderThanTheRefusal(t *testing.T) {
	for refused, want := range map[string]error{"AT1 AT2": nil, "AT1 AT2 AT3": policy.ErrUnauthenticated} {
		synctest.Test(t, func(t *testing.T) {
			as, rs := &server{}, &api{}
			p := as.policy()
			slow := func(ctx context.Context, call policy.Call) error {
				if headerOf(call, "Authorization") == "Bearer AT1" {
					time.Sleep(time.Minute)
				}
				return rs.do(ctx, call)
			}
			got := make(chan error)
			go func() { got <- p.Do(t.Context(), testCall, slow) }()
			synctest.Wait()
			p.Invalidate(&oauth2.Token{AccessToken: "AT1"})
			if err := p.Do(t.Context(), testCall, rs.do); err != nil {
				t.Fatal(err)
			}
			rs.mu.Lock()
			rs.refuses = refuse(strings.Fields(refused)...)
			rs.mu.Unlock()
			if err := <-got; err != want {
				t.Errorf("Do() = %v where %s are refused, want %v", err, refused, want)
			}
			if got := rs.tokens(); got != "AT2 AT1 AT2 AT3" {
				t.Errorf("calls carried %s, want AT2, and then AT1 AT2 AT3", got)
			}
		})
	}
}

// Which challenges have the token replaced (14), and which do not (17).
func TestAuth14And17Challenges(t *testing.T) {
	tests := []struct {
		challenges []string
		want       bool
	}{
		{nil, true},
		{[]string{""}, true},
		{[]string{`Bearer`}, true},
		{[]string{`bearer realm="orders"`}, true},
		{[]string{`Bearer error="invalid_token", error_description="expired"`}, true},
		{[]string{`BEARER realm=x, ERROR=invalid_token`}, true},
		{[]string{`Basic realm="x"`, `Bearer realm="x"`}, true},
		{[]string{`Basic realm="x", Bearer error="invalid_token"`}, true},

		{[]string{`Bearer error="insufficient_scope", scope="write"`}, false},
		{[]string{`Bearer realm="x"`, `Bearer error="insufficient_scope"`}, false},
		{[]string{`Bearer error="insufficient_user_authentication", acr_values="mfa"`}, false},
		{[]string{`Bearer error="invalid_request"`}, false},
		{[]string{`Basic realm="x"`}, false},
		{[]string{`Negotiate`, `NTLM`}, false},
		{[]string{`DPoP error="use_dpop_nonce"`}, false},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.challenges, "; "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				original := &refusal{tt.challenges}
				as, rs := &server{}, &api{refuses: refuse("AT1"), refusal: original}
				err := as.policy().Do(t.Context(), testCall, rs.do)
				if tt.want && (err != nil || as.count() != 2) {
					t.Errorf("Do() = %v after %d token requests, want nil after 2", err, as.count())
				}
				if !tt.want && (err != original || as.count() != 1) {
					t.Errorf("Do() = %v after %d token requests, want the refusal after 1", err, as.count())
				}
			})
		})
	}
}

func TestAuth17OtherErrorsArePassedOn(t *testing.T) {
	for class := policy.Transient; class <= policy.Rejected; class++ {
		if class == policy.Unauthenticated {
			continue
		}
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				original := policy.WithClass(errors.New("other"), class)
				as, rs := &server{}, &api{refuses: refuseAll, refusal: original}
				if err := as.policy().Do(t.Context(), testCall, rs.do); err != original || as.count() != 1 {
					t.Errorf("Do() = %v after %d token requests, want %v after 1", err, as.count(), original)
				}
			})
		})
	}
}

func TestAuth17UsersClassifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forbidden := policy.WithClass(errors.New("403"), policy.Permanent)
		as, rs := &server{}, &api{refuses: refuse("AT1"), refusal: forbidden}
		p := auth.New(auth.Config{Source: as.refreshToken(), Unauthenticated: func(err error) bool { return errors.Is(err, forbidden) }})
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1 AT2" {
			t.Errorf("Do() = %v with tokens %q, want nil with AT1 and AT2", err, rs.tokens())
		}
	})
}

func TestAuth15OneRefreshFor1000Rejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 100 * time.Millisecond}, &api{refuses: refuse("AT1")}
		p := as.policy()
		arrived := make(chan struct{})
		var all, wg sync.WaitGroup
		all.Add(1000)
		for range 1000 {
			wg.Go(func() {
				first := true
				err := p.Do(t.Context(), testCall, func(ctx context.Context, call policy.Call) error {
					if first { // all have AT1 before the first learns that it is refused
						first = false
						all.Done()
						<-arrived
					}
					return rs.do(ctx, call)
				})
				if err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
		}
		all.Wait()
		close(arrived)
		wg.Wait()
		if got := as.count(); got != 2 {
			t.Errorf("%d token requests, want 2: the first token, and one in its place", got)
		}
		if rs.count("AT1") != 1000 || rs.count("AT2") != 1000 {
			t.Errorf("%d calls with AT1, %d with AT2: want 1000 each", rs.count("AT1"), rs.count("AT2"))
		}
	})
}

func TestAuth15LateRejections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{}, &api{refuses: refuse("AT1")}
		p := as.policy()
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				first := true
				err := p.Do(t.Context(), testCall, func(ctx context.Context, call policy.Call) error {
					if first {
						first = false
						time.Sleep(time.Duration(i+1) * time.Second)
					}
					return rs.do(ctx, call)
				})
				if err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if as.count() != 2 || rs.count("AT1") != 100 || rs.count("AT2") != 100 {
			t.Errorf("%d token requests, %d calls with AT1, %d with AT2: want 2, 100, 100", as.count(), rs.count("AT1"), rs.count("AT2"))
		}
	})
}

func TestAuth16AlwaysRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{}, &api{refuses: refuseAll}
		p := as.policy()
		for range 1000 {
			if err := p.Do(t.Context(), testCall, rs.do); err != policy.ErrUnauthenticated {
				t.Fatalf("Do() = %v, want the refusal", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got := as.count(); got > 2 {
			t.Errorf("%d token requests in 10s, want at most 2", got)
		}
		if got := len(rs.calls); got != 1001 {
			t.Errorf("%d calls, want 1001: a call whose token is not replaced is not repeated", got)
		}
	})
}

func TestAuth16BackoffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{expiresIn: "1000000"}, &api{refuses: refuseAll}
		p := as.policy()
		start := time.Now()
		var got []string
		for seen := 1; time.Since(start) < time.Hour; time.Sleep(time.Second) {
			_ = p.Do(t.Context(), testCall, rs.do)
			if n := as.count(); n > seen {
				got = append(got, time.Since(start).String())
				seen = n
			}
		}
		want := []string{"0s", "10s", "30s", "1m10s", "2m30s", "5m10s", "10m10s", "15m10s"}
		if !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Errorf("tokens were replaced after %v, want %v and so on", got, want)
		}
	})
}

func TestAuth16SuccessEndsTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := []string{"AT1", "AT2"}
		as, rs := &server{}, &api{refuses: func(token string) bool { return slices.Contains(revoked, token) }}
		p := as.policy()
		do := func() error { return p.Do(t.Context(), testCall, rs.do) }
		_ = do()
		time.Sleep(10 * time.Second)
		if err := do(); err != nil || as.count() != 3 {
			t.Errorf("Do() = %v after %d token requests, want nil after 3", err, as.count())
		}
		revoked = append(revoked, "AT3")
		if err := do(); err != nil || as.count() != 4 {
			t.Errorf("Do() = %v after %d token requests, want nil after 4", err, as.count())
		}
	})
}

// Part of a server refuses every token, while the rest accepts them.
func TestAuth16PartlyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		p := as.policy()
		good, bad := &api{}, &api{refuses: refuseAll}
		for range 1000 {
			_ = p.Do(t.Context(), testCall, good.do)
			_ = p.Do(t.Context(), testCall, bad.do)
			time.Sleep(10 * time.Millisecond)
		}
		if got := as.count(); got > 8 {
			t.Errorf("%d token requests in 10s, want a handful", got)
		}
	})
}

// finalError is a refusal of a call that cannot be made again.
type finalError struct{ refusal }

func (e *finalError) Final() bool { return true }

func TestAuth18CallsThatCannotBeRepeated(t *testing.T) {
	once := testCall
	once.Once = true
	forbidden := policy.WithClass(errors.New("403"), policy.Permanent)
	tests := []struct {
		name       string
		call       policy.Call
		refusal    error
		wantTokens string
	}{
		{"final", testCall, &finalError{}, "AT1"},
		{"once, refused before any effect", once, &refusal{}, "AT1 AT2"},
		{"once, may have taken effect", once, forbidden, "AT1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{}, &api{refuses: refuse("AT1"), refusal: tt.refusal}
				p := auth.New(auth.Config{Source: as.refreshToken(), Unauthenticated: func(err error) bool { return errors.Is(err, forbidden) }})
				err := p.Do(t.Context(), tt.call, rs.do)
				if tt.wantTokens == "AT1" && err != tt.refusal {
					t.Errorf("Do() = %v, want the refusal", err)
				}
				if got := rs.tokens(); got != tt.wantTokens {
					t.Errorf("calls with tokens %q, want %q", got, tt.wantTokens)
				}
				if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.count() != 2 {
					t.Errorf("next: Do() = %v after %d token requests, want nil after 2", err, as.count())
				}
			})
		})
	}
}

func TestAuth20ReplayKeepsTheCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{}, &api{refuses: refuse("AT1")}
		p := as.policy()
		if err := p.Use(t.Context(), func(context.Context, *oauth2.Token) error { return nil }); err != nil {
			t.Fatal(err)
		}
		as.delay = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := p.Do(ctx, testCall, rs.do)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, policy.ErrUnauthenticated) || time.Since(start) != time.Second {
			t.Errorf("Do() = %v after %v, want a timeout after 1s", err, time.Since(start))
		}
		time.Sleep(time.Minute) // the flight goes on
	})
}

func TestAuth21RefreshFailsAfter401(t *testing.T) {
	tests := []struct {
		name       string
		status     int
		body       string
		challenges []string
		want       error
		wantClass  policy.Class
		wantStatus int
		wantCode   string
	}{
		{"lost grant", 400, `{"error":"invalid_grant"}`, []string{`Bearer error="invalid_token"`}, auth.ErrReauthRequired, policy.Rejected, 401, "invalid_grant"},
		{"outage", 503, ``, []string{`Bearer realm="orders"`}, auth.ErrTokenUnavailable, policy.Throttled, 401, ""},
		{"no challenge", 503, ``, nil, auth.ErrTokenUnavailable, policy.Throttled, 401, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					if n == 1 {
						return 0, ""
					}
					return tt.status, tt.body
				}}
				original := &refusal{tt.challenges}
				err := as.policy().Do(t.Context(), testCall, (&api{refuses: refuseAll, refusal: original}).do)
				e, ok := errors.AsType[*auth.AuthError](err)
				if !ok || !errors.Is(err, tt.want) || errors.Is(err, original) {
					t.Fatalf("Do() = %v, want an AuthError that matches %v and does not wrap the refusal", err, tt.want)
				}
				if e.StatusCode != tt.wantStatus || e.ErrorCode != tt.wantCode || len(e.Challenges) != len(tt.challenges) {
					t.Errorf("status %d, code %q, challenges %v: want %d, %q, %d of them", e.StatusCode, e.ErrorCode, e.Challenges, tt.wantStatus, tt.wantCode, len(tt.challenges))
				}
				if got := policy.ClassOf(err); got != tt.wantClass {
					t.Errorf("class %v, want %v", got, tt.wantClass)
				}
				if got := policy.ErrorType(err); got != "auth" {
					t.Errorf("error type %q, want auth", got)
				}
				if !policy.NoEffect(err) {
					t.Error("NoEffect() = false, want true")
				}
			})
		})
	}
}

// A source that gives the refused token again does not cause a replay.
func TestAuth15SameTokenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := auth.New(auth.Config{Source: auth.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "AT1"}))})
		rs := &api{refuses: refuseAll}
		if err := p.Do(t.Context(), testCall, rs.do); err != policy.ErrUnauthenticated || rs.tokens() != "AT1" {
			t.Errorf("Do() = %v with tokens %q, want the refusal, once", err, rs.tokens())
		}
	})
}

// Whatever the order of events, no call gets a token that is older than one
// that it has seen, and no refused token is replaced twice.
func TestAuth15Storm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: 30 * time.Millisecond}
		p := as.policy()
		start := time.Now()
		// Every 11 s the API forgets all tokens but the one to come.
		api := func(_ context.Context, call policy.Call) error {
			n, err := strconv.Atoi(strings.TrimPrefix(headerOf(call, "Authorization"), "Bearer AT"))
			if err != nil {
				return err
			}
			time.Sleep(7 * time.Millisecond)
			if n <= int(time.Since(start)/(11*time.Second)) {
				return policy.ErrUnauthenticated
			}
			return nil
		}
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for time.Since(start) < 110*time.Second {
					if err := p.Do(t.Context(), testCall, api); err != nil {
						t.Errorf("Do() = %v, want nil", err)
					}
					time.Sleep(time.Duration(i+1) * 3 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		if got := as.count(); got != 11 && got != 10 {
			t.Errorf("%d token requests for 10 revocations, want 10 or 11", got)
		}
		for n := range as.count() {
			if got, want := as.form(n+1).Get("refresh_token"), fmt.Sprintf("RT%d", n+1); got != want {
				t.Errorf("token request %d has the refresh token %s, want %s", n+1, got, want)
			}
		}
	})
}
