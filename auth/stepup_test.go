package auth_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// A stepper is a StepUp that writes down what it was asked for.
type stepper struct {
	answer func(ctx context.Context, n int) (*oauth2.Token, error) // to the n-th question; default: the token UP<n>

	mu         sync.Mutex
	asked      int
	old        *oauth2.Token
	challenges []auth.Challenge
}

func (s *stepper) stepUp(ctx context.Context, old *oauth2.Token, challenges []auth.Challenge) (*oauth2.Token, error) {
	s.mu.Lock()
	s.asked++
	n := s.asked
	s.old, s.challenges = old, challenges
	s.mu.Unlock()
	if s.answer != nil {
		return s.answer(ctx, n)
	}
	return &oauth2.Token{AccessToken: fmt.Sprint("UP", n), ExpiresIn: 3600}, nil
}

func (s *stepper) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// mfa is a refusal that a step-up is for (RFC 9470, section 3).
func mfa() *refusal {
	return &refusal{[]string{`Bearer error="insufficient_user_authentication", acr_values="CANARY", max_age=5`}}
}

// refuseWeak holds for all tokens that come from no step-up.
func refuseWeak(token string) bool { return !strings.HasPrefix(token, "UP") }

func (s *stepper) policy(as *server) *auth.Policy {
	return auth.New(auth.Config{Source: as.refreshToken(), StepUp: s.stepUp})
}

func TestAuth17StepUp(t *testing.T) {
	tests := map[string]struct {
		challenges []string
		want       string // the parameter that StepUp gets
		value      string
	}{
		"authentication":                     {[]string{`Bearer error="insufficient_user_authentication", acr_values="mfa", max_age=5`}, "acr_values", "mfa"},
		"scope":                              {[]string{`Bearer error="insufficient_scope", scope="orders.write"`}, "scope", "orders.write"},
		"claims":                             {[]string{`Bearer error="insufficient_claims", claims="eyJhIjoxfQ=="`}, "claims", "eyJhIjoxfQ=="},
		"claims of a token that was revoked": {[]string{`Bearer error="invalid_token", claims="e30="`}, "claims", "e30="},
		"beside other schemes":               {[]string{`Basic realm="x"`, `bearer error="insufficient_scope"`}, "error", "insufficient_scope"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, s := &server{}, &stepper{}
				rs := &api{refuses: refuseWeak, refusal: &refusal{tt.challenges}}
				p := s.policy(as)
				for range 3 {
					if err := p.Do(t.Context(), testCall, rs.do); err != nil {
						t.Fatalf("Do() = %v, want nil", err)
					}
				}
				if got := rs.tokens(); got != "AT1 UP1 UP1 UP1" || s.count() != 1 || as.count() != 1 {
					t.Errorf("calls with tokens %q after %d step-ups, want AT1 once and then UP1 after 1", got, s.count())
				}
				if s.old.AccessToken != "AT1" || s.old.RefreshToken != "RT2" {
					t.Errorf("StepUp got %+v, want the last token with its refresh token", s.old)
				}
				if got := s.challenges[len(s.challenges)-1].Params[tt.want]; got != tt.value {
					t.Errorf("StepUp got the challenges %v, want %s=%q", s.challenges, tt.want, tt.value)
				}
				// A token that comes without a refresh token keeps the one there is.
				time.Sleep(time.Hour)
				if err := p.Do(t.Context(), testCall, succeed); err != nil || as.spent() != "RT1 RT2" {
					t.Errorf("later Do() = %v after token requests with %s, want nil after RT1 and RT2", err, as.spent())
				}
			})
		})
	}
}

// Where nobody steps up, nothing is done about it.
func TestAuth17WithoutStepUp(t *testing.T) {
	for _, challenge := range []string{
		`Bearer error="insufficient_user_authentication"`, `Bearer error="insufficient_scope"`, `Bearer error="insufficient_claims", claims="e30="`,
	} {
		synctest.Test(t, func(t *testing.T) {
			as, original := &server{}, &refusal{[]string{challenge}}
			rs := &api{refuses: refuseAll, refusal: original}
			if err := as.policy().Do(t.Context(), testCall, rs.do); err != original || rs.tokens() != "AT1" || as.count() != 1 {
				t.Errorf("%s: Do() = %v with tokens %q after %d token requests, want the refusal, once, after 1", challenge, err, rs.tokens(), as.count())
			}
		})
	}
}

// What a step-up is not for: a token that is no good, other schemes, and what is
// wrong with the request or its proof.
func TestAuth17NoStepUp(t *testing.T) {
	for challenge, want := range map[string]string{
		`Bearer`:                       "AT1 AT2",
		`Bearer error="invalid_token"`: "AT1 AT2",
		`Basic realm="x"`:              "AT1",
		`DPoP error="insufficient_user_authentication"`:    "AT1",
		`Negotiate error="insufficient_scope", claims="x"`: "AT1",
	} {
		t.Run(challenge, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, s := &server{}, &stepper{}
				rs := &api{refuses: refuseAll, refusal: &refusal{[]string{challenge}}}
				if err := s.policy(as).Do(t.Context(), testCall, rs.do); err != rs.refusal || rs.tokens() != want || s.count() != 0 {
					t.Errorf("Do() = %v with tokens %q and %d step-ups, want the refusal with %q and none", err, rs.tokens(), s.count(), want)
				}
			})
		})
	}
	for _, challenge := range []string{`DPoP error="use_dpop_nonce"`, `DPoP error="invalid_dpop_proof"`} {
		t.Run(challenge, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, original := &stepper{}, &refusal{[]string{challenge}}
				d := auth.NewDPoP(nil)
				p := auth.New(auth.Config{DPoP: d, StepUp: s.stepUp, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					return &oauth2.Token{AccessToken: "AT", TokenType: "DPoP"}, nil
				})})
				err := p.Do(t.Context(), testCall, func(context.Context, policy.Call) error { return original })
				if err != original || s.count() != 0 {
					t.Errorf("Do() = %v with %d step-ups, want the refusal with none", err, s.count())
				}
			})
		})
	}
}

func TestAuth17StepUpWithoutABetterToken(t *testing.T) {
	original := mfa()
	declined := errors.New("the user has said no")
	tests := []struct {
		name   string
		answer func(context.Context, int) (*oauth2.Token, error)
		want   []error      // the refusal alone if there are none
		class  policy.Class // otherwise
		calls  string
	}{
		{"no token", func(context.Context, int) (*oauth2.Token, error) { return nil, nil }, nil, 0, "AT1"},
		{"the same token", func(context.Context, int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "AT1"}, nil }, nil, 0, "AT1"},
		{"another one", func(context.Context, int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "AT9"}, nil }, nil, 0, "AT1 AT9"},
		{"an error", func(context.Context, int) (*oauth2.Token, error) { return nil, declined }, []error{auth.ErrTokenUnavailable, declined}, policy.Throttled, "AT1"},
		{"a final error", func(context.Context, int) (*oauth2.Token, error) {
			return nil, policy.WithClass(declined, policy.Permanent)
		}, []error{auth.ErrTokenUnavailable, declined}, policy.Rejected, "AT1"},
		{"a login", func(context.Context, int) (*oauth2.Token, error) { return nil, auth.ErrReauthRequired }, []error{auth.ErrReauthRequired}, policy.Rejected, "AT1"},
		{"an expired token", func(context.Context, int) (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "UP", Expiry: time.Now().Add(-time.Hour)}, nil
		}, []error{auth.ErrTokenUnavailable}, policy.Throttled, "AT1"},
		{"an empty token", func(context.Context, int) (*oauth2.Token, error) { return &oauth2.Token{}, nil }, []error{auth.ErrTokenUnavailable}, policy.Throttled, "AT1"},
		{"a bad token", func(context.Context, int) (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "CANARY\n"}, nil }, []error{auth.ErrTokenUnavailable}, policy.Throttled, "AT1"},
		{"an answer", func(context.Context, int) (*oauth2.Token, error) {
			return nil, &oauth2.RetrieveError{ErrorCode: "CANARY", Body: []byte("CANARY")}
		}, []error{auth.ErrTokenUnavailable}, policy.Rejected, "AT1"},
		{"a panic", func(context.Context, int) (*oauth2.Token, error) { panic("CANARY") }, []error{auth.ErrTokenUnavailable}, policy.Throttled, "AT1"},
		{"Goexit", func(context.Context, int) (*oauth2.Token, error) { runtime.Goexit(); return nil, nil }, []error{auth.ErrTokenUnavailable}, policy.Throttled, "AT1"},
		{"a timeout", func(ctx context.Context, _ int) (*oauth2.Token, error) {
			time.Sleep(5 * time.Second)
			return nil, context.DeadlineExceeded
		}, []error{auth.ErrTokenUnavailable, context.DeadlineExceeded}, policy.Throttled, "AT1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, s := &server{}, &stepper{answer: tt.answer}
				p, rs := s.policy(as), &api{refuses: refuseWeak, refusal: original}
				err := p.Do(t.Context(), testCall, rs.do)
				if rs.tokens() != tt.calls {
					t.Errorf("calls with tokens %q, want %q", rs.tokens(), tt.calls)
				}
				for _, want := range tt.want {
					if !errors.Is(err, want) {
						t.Errorf("Do() = %v, want %v", err, want)
					}
				}
				if len(tt.want) == 0 {
					if err != original {
						t.Errorf("Do() = %v, want the refusal", err)
					}
				} else {
					e, ok := errors.AsType[*auth.AuthError](err)
					if !ok || e.StatusCode != 401 || len(e.Challenges) != 1 || policy.ClassOf(err) != tt.class || errors.Is(err, original) {
						t.Errorf("Do() = %v of class %v, want an AuthError of class %v with the status and the challenge", err, policy.ClassOf(err), tt.class)
					}
					isClean(t, "error", err)
				}

				// The token there is remains good for everything else, and nobody is
				// asked again so soon.
				if err := p.Do(t.Context(), testCall, succeed); err != nil {
					t.Errorf("for something else Do() = %v, want nil", err)
				}
				for range 10 {
					if err := p.Do(t.Context(), testCall, rs.do); err != original {
						t.Errorf("soon after Do() = %v, want the refusal", err)
					}
				}
				want := 1
				if tt.calls == "AT1 AT9" {
					want = 2 // it was accepted for something, so it might have been worth it
				}
				if s.count() != want || as.count() != 1 {
					t.Errorf("%d step-ups and %d token requests, want %d and 1", s.count(), as.count(), want)
				}
			})
		})
	}
}

func TestAuth17OneStepUpForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, s := &server{}, &stepper{}
		s.answer = func(context.Context, int) (*oauth2.Token, error) {
			time.Sleep(5 * time.Second)
			return &oauth2.Token{AccessToken: "UP"}, nil
		}
		p, rs := s.policy(as), &api{refuses: refuseWeak, refusal: mfa()}
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				err := p.Do(t.Context(), testCall, func(ctx context.Context, call policy.Call) error {
					err := rs.do(ctx, call)
					if err != nil { // some learn while the step-up is under way, others after
						time.Sleep(time.Duration(i) * 10 * time.Millisecond)
					}
					return err
				})
				if err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
			})
		}
		wg.Wait()
		if s.count() != 1 || as.count() != 1 || rs.count("UP") != 1000 {
			t.Errorf("%d step-ups, %d token requests, %d calls with the new token, want 1, 1, 1000", s.count(), as.count(), rs.count("UP"))
		}
	})
}

func TestAuth17StepUpOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := &stepper{}
		s.answer = func(ctx context.Context, _ int) (*oauth2.Token, error) {
			if ctx.Value(key{}) != "trace" {
				t.Error("StepUp has lost the values of the caller's context")
			}
			if err := policy.Sleep(ctx, 5*time.Second); err != nil {
				return nil, err
			}
			return &oauth2.Token{AccessToken: "UP"}, nil
		}
		p, rs := s.policy(&server{}), &api{refuses: refuseWeak, refusal: mfa()}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "trace"), time.Second)
		defer cancel()
		start := time.Now()
		err := p.Do(ctx, testCall, rs.do)
		if !errors.Is(err, auth.ErrTokenUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("Do() = %v after %v, want a timeout after 1s", err, time.Since(start))
		}
		time.Sleep(5 * time.Second)
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT1 UP" || s.count() != 1 {
			t.Errorf("then Do() = %v with tokens %q after %d step-ups, want nil with UP after 1", err, rs.tokens(), s.count())
		}
	})
}

// Calls that want no more than a good token get one, whatever becomes of a
// step-up that is under way as the token expires or is refused.
func TestAuth17StepUpConcernsNobodyElse(t *testing.T) {
	answers := map[string]struct {
		answer func() (*oauth2.Token, error)
		want   string
	}{
		"token":    {func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "UP"}, nil }, "UP"},
		"no token": {func() (*oauth2.Token, error) { return nil, nil }, "AT2"},
		"error":    {func() (*oauth2.Token, error) { return nil, errors.New("no") }, "AT2"},
		"panic":    {func() (*oauth2.Token, error) { panic("no") }, "AT2"},
	}
	for name, tt := range answers {
		for _, refused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s refused=%v", name, refused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					as, s := &server{expiresIn: "8"}, &stepper{}
					s.answer = func(context.Context, int) (*oauth2.Token, error) {
						time.Sleep(10 * time.Second)
						return tt.answer()
					}
					p := s.policy(as)
					var wg sync.WaitGroup
					wg.Go(func() { _ = p.Do(t.Context(), testCall, (&api{refuses: refuseWeak, refusal: mfa()}).do) })
					rs := &api{}
					if refused {
						time.Sleep(time.Second)
						rs.refuses = refuse("AT1")
					} else {
						time.Sleep(7 * time.Second)
					}
					for range 10 {
						wg.Go(func() {
							if err := p.Do(t.Context(), testCall, rs.do); err != nil {
								t.Errorf("Do() = %v, want nil", err)
							}
						})
					}
					wg.Wait()
					if got := rs.count(tt.want); got != 10 {
						t.Errorf("calls got %s, want %s each", rs.tokens(), tt.want)
					}
					if want := map[string]string{"UP": "RT1", "AT2": "RT1 RT2"}[tt.want]; as.spent() != want {
						t.Errorf("token requests with %s, want %s", as.spent(), want)
					}
				})
			})
		}
	}
}

// Nobody waits longer than a token request may take for a source or a handler
// that hangs, and nobody runs in circles.
func TestAuth17StepUpAndFlightsThatHang(t *testing.T) {
	for name, hangs := range map[string]bool{"handler": true, "source": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hung, s, asked := make(chan struct{}), &stepper{}, 0
				s.answer = func(context.Context, int) (*oauth2.Token, error) {
					if hangs {
						<-hung
					}
					return nil, nil
				}
				p := auth.New(auth.Config{Timeout: time.Second, StepUp: s.stepUp, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
					if asked++; asked == 2 && !hangs {
						<-hung
					}
					return &oauth2.Token{AccessToken: fmt.Sprint("AT", asked), ExpiresIn: 100}, nil
				})})
				_ = p.Do(t.Context(), testCall, succeed)
				var wg sync.WaitGroup
				refuse := func(after time.Duration, refusal error) {
					wg.Go(func() {
						start := time.Now()
						err := p.Do(t.Context(), testCall, func(context.Context, policy.Call) error {
							time.Sleep(after)
							return refusal
						})
						if !errors.Is(err, auth.ErrTokenUnavailable) || time.Since(start) > 1100*time.Millisecond {
							t.Errorf("Do() = %v after %v, want ErrTokenUnavailable within 1.1s", err, time.Since(start))
						}
					})
				}
				first, second := error(mfa()), error(&refusal{})
				if !hangs {
					first, second = second, first
				}
				refuse(100*time.Millisecond, first)
				refuse(200*time.Millisecond, second)
				wg.Wait()
				close(hung)
			})
		})
	}
}

// Refusals of the token before the step-up, of whatever kind, are answered with
// the one after it.
func TestAuth17LateRefusalsAfterAStepUp(t *testing.T) {
	for name, late := range map[string]*refusal{"challenge": mfa(), "401": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, s := &server{}, &stepper{}
				p := s.policy(as)
				slow := make(chan error, 1)
				go func() {
					slow <- p.Do(t.Context(), testCall, func(_ context.Context, call policy.Call) error {
						if strings.HasSuffix(headerOf(call, "Authorization"), "UP1") {
							return nil
						}
						time.Sleep(time.Minute)
						return late
					})
				}()
				synctest.Wait()
				if err := p.Do(t.Context(), testCall, (&api{refuses: refuseWeak, refusal: mfa()}).do); err != nil {
					t.Fatal(err)
				}
				if err := <-slow; err != nil || s.count() != 1 || as.count() != 1 {
					t.Errorf("Do() = %v after %d step-ups and %d token requests, want nil after 1 and 1", err, s.count(), as.count())
				}
			})
		})
	}
}

func TestAuth17StepUpMeetsSetTokenAndClose(t *testing.T) {
	slow := func(context.Context, int) (*oauth2.Token, error) {
		time.Sleep(5 * time.Second)
		return &oauth2.Token{AccessToken: "UP"}, nil
	}
	t.Run("SetToken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &stepper{answer: slow}
			p, rs := s.policy(&server{}), &api{refuses: refuse("AT1"), refusal: mfa()}
			done := make(chan error, 1)
			go func() { done <- p.Do(t.Context(), testCall, rs.do) }()
			synctest.Wait()
			start := time.Now()
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET"}); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil || rs.tokens() != "AT1 SET" || time.Since(start) != 0 {
				t.Errorf("Do() = %v with tokens %q after %v, want nil with SET at once", err, rs.tokens(), time.Since(start))
			}
			time.Sleep(time.Minute)
			if _ = p.Do(t.Context(), testCall, rs.do); rs.tokens() != "AT1 SET SET" {
				t.Errorf("calls got %s, want the token that was set", rs.tokens())
			}
		})
	})
	t.Run("Close", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &stepper{answer: slow}
			p, rs := s.policy(&server{}), &api{refuses: refuseWeak, refusal: mfa()}
			go func() { _ = p.Do(t.Context(), testCall, rs.do) }()
			synctest.Wait()
			start := time.Now()
			if err := p.Close(t.Context()); err != nil || time.Since(start) != 5*time.Second {
				t.Errorf("Close() = %v after %v, want nil after 5s", err, time.Since(start))
			}
			rs = &api{refuses: refuseAll, refusal: mfa()}
			time.Sleep(time.Minute)
			if err := p.Do(t.Context(), testCall, rs.do); err == nil || s.count() != 1 {
				t.Errorf("after Close Do() = %v with %d step-ups, want an error, and no other", err, s.count()-1)
			}
		})
	})
}

// A StepUp that sends a request through the policy that waits for it is refused.
func TestAuth28RecursionOfStepUpIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *auth.Policy
		s := &stepper{}
		s.answer = func(ctx context.Context, _ int) (*oauth2.Token, error) {
			_, err := p.Token(ctx)
			return nil, err
		}
		p = s.policy(&server{})
		start := time.Now()
		err := p.Do(t.Context(), testCall, (&api{refuses: refuseWeak, refusal: mfa()}).do)
		if !errors.Is(err, auth.ErrTokenUnavailable) || policy.ClassOf(err) != policy.Rejected || time.Since(start) != 0 {
			t.Errorf("Do() = %v of class %v after %v, want ErrTokenUnavailable of class rejected at once", err, policy.ClassOf(err), time.Since(start))
		}
	})
}

// An API that always challenges does not cause a step-up for each call.
func TestAuth16AlwaysChallenged(t *testing.T) {
	for name, rs := range map[string]*api{
		"every token":     {refuses: refuseAll, refusal: mfa()},
		"and 401 between": {refuses: refuseAll},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, s := &server{}, &stepper{}
				p := s.policy(as)
				for i := range 1000 {
					if name == "and 401 between" {
						rs.refusal = []error{mfa(), &refusal{}}[i%2]
					}
					if err := p.Do(t.Context(), testCall, rs.do); err != rs.refusal {
						t.Fatalf("Do() = %v, want the refusal", err)
					}
					time.Sleep(10 * time.Millisecond)
				}
				if got := as.count() + s.count(); got != 2 {
					t.Errorf("%d token requests and %d step-ups for 1000 calls in 10s, want the first token, and one more", as.count(), s.count())
				}
			})
		})
	}
}

// Part of an API always challenges, while the rest accepts every token.
func TestAuth16PartlyChallenged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, s := &server{}, &stepper{}
		p := s.policy(as)
		for range 1000 {
			_ = p.Do(t.Context(), testCall, succeed)
			_ = p.Do(t.Context(), testCall, (&api{refuses: refuseAll, refusal: mfa()}).do)
			time.Sleep(10 * time.Millisecond)
		}
		if got := s.count(); got > 7 || as.count() != 1 {
			t.Errorf("%d step-ups and %d token requests in 10s, want a handful, and 1", got, as.count())
		}
	})
}
