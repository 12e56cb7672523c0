package auth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/breaker"
	"github.com/evenkeel-go/evenkeel/pipeline"
	"github.com/evenkeel-go/evenkeel/policy"
	"github.com/evenkeel-go/evenkeel/retry"
	"github.com/evenkeel-go/evenkeel/timeout"
)

// spent returns the refresh tokens that the server got, in order.
func (s *server) spent() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var tokens []string
	for _, form := range s.forms {
		tokens = append(tokens, form.Get("refresh_token"))
	}
	return strings.Join(tokens, " ")
}

func TestAuth01SetTokenSpendsNoRefreshTokenTwice(t *testing.T) {
	for name, token := range map[string]*oauth2.Token{
		"an access token alone":            {AccessToken: "NEW"},
		"the refresh token of the flight":  {RefreshToken: "RT1"},
		"both, the refresh token the same": {AccessToken: "NEW", RefreshToken: "RT1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{delay: time.Second}, &api{refuses: refuse("NEW")}
				p := as.policy()
				go func() { _ = p.Do(t.Context(), testCall, rs.do) }()
				synctest.Wait()
				if err := p.SetToken(t.Context(), token); err != nil {
					t.Fatal(err)
				}
				// The new access token is refused while the flight is under way.
				if err := p.Do(t.Context(), testCall, rs.do); err != nil {
					t.Errorf("Do() = %v, want nil", err)
				}
				time.Sleep(time.Hour)
				if err := p.Do(t.Context(), testCall, rs.do); err != nil || as.spent() != "RT1 RT2" {
					t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and each once", err, as.spent())
				}
			})
		})
	}
}

func TestAuth25SetTokenTakesARefreshTokenWhoseAccessTokenHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		as.setCurrent(7)
		p := as.policy()
		old := &oauth2.Token{AccessToken: "OLD", RefreshToken: "RT7", Expiry: time.Now().Add(-time.Hour)}
		if err := p.SetToken(t.Context(), old); err != nil {
			t.Fatalf("SetToken() = %v, want nil", err)
		}
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil || as.spent() != "RT7" {
			t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and RT7", err, as.spent())
		}
		old.RefreshToken = ""
		if err := p.SetToken(t.Context(), old); err == nil {
			t.Error("SetToken() of an expired access token alone = nil, want an error")
		}
	})
}

func TestAuth31MalformedAnswerKeepsItsRefreshToken(t *testing.T) {
	for body, good := range map[string]bool{
		`{"access_token":"AT","token_type":"Bearer","expires_in":3600.5,"refresh_token":"RT2"}`: true,
		`{"access_token":"AT","token_type":"Bearer","expires_in":3.6e3,"refresh_token":"RT2"}`:  true,
		`{"access_token":"AT","token_type":"Bearer","expires_in":1e300,"refresh_token":"RT2"}`:  false,
		`{"access_token":"AT","token_type":"Bearer","expires_in":"","refresh_token":"RT2"}`:     true,
		`{"access_token":"AT","token_type":"Bearer","expires_in":"soon","refresh_token":"RT2"}`: false,
		`{"access_token":"AT","token_type":"Bearer","expires_in":[1],"refresh_token":"RT2"}`:    false,
		`{"access_token":"AT","token_type":"Bearer","expires_in":0,"refresh_token":"RT2"}`:      false,
		`{"access_token":"AT","token_type":"mac","refresh_token":"RT2"}`:                        false,
		`{"access_token":"","token_type":"Bearer","refresh_token":"RT2"}`:                       false,
		`{"access_token":7,"token_type":"Bearer","refresh_token":"RT2"}`:                        false,
	} {
		t.Run(body, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{}
				as.answer = func(n int, _ url.Values) (int, string) {
					if n > 1 {
						return 0, ""
					}
					as.rotate()
					return http.StatusOK, body
				}
				p := as.policy()
				if err := p.Do(t.Context(), testCall, (&api{}).do); (err == nil) != good {
					t.Errorf("Do() = %v, want success: %v", err, good)
				}
				time.Sleep(time.Minute)
				_ = p.SetToken(t.Context(), &oauth2.Token{AccessToken: "REFUSED"})
				if err := p.Do(t.Context(), testCall, (&api{refuses: refuse("REFUSED")}).do); err != nil || as.spent() != "RT1 RT2" {
					t.Errorf("then Do() = %v, refresh tokens sent: %s, want nil and each once", err, as.spent())
				}
			})
		})
	}
}

// A late error is one of a call that may have taken effect.
type late struct{ final bool }

func (late) Error() string       { return "refused, perhaps too late" }
func (late) Class() policy.Class { return policy.Permanent }
func (e late) Final() bool       { return e.final }

func TestAuth18WhatCannotBeRepeatedIsNotWhateverBecomesOfTheRefresh(t *testing.T) {
	for name, tt := range map[string]struct {
		once bool
		err  late
	}{
		"once":  {true, late{}},
		"final": {false, late{final: true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					if n == 1 {
						return 0, ""
					}
					return http.StatusServiceUnavailable, ""
				}}
				isLate := func(err error) bool { return errors.Is(err, tt.err) }
				p := pipeline.Must(pipeline.New("test", retry.New(retry.Config{}), auth.New(auth.Config{Source: as.refreshToken(), Unauthenticated: isLate})))
				call, calls := testCall, 0
				call.Once = tt.once
				err := p.Do(t.Context(), call, func(context.Context, policy.Call) error {
					calls++
					return tt.err
				})
				synctest.Wait()
				if calls != 1 || !errors.Is(err, tt.err) || as.count() != 2 {
					t.Errorf("Do() = %v after %d calls and %d token requests, want the refusal after 1 and 2", err, calls, as.count())
				}
			})
		})
	}
}

func TestAuth18OriginalAnswerDespiteADeadTokenEndpoint(t *testing.T) {
	rs := newAPI(t, refuse("AT1"))
	as := &server{answer: func(n int, _ url.Values) (int, string) {
		if n == 1 {
			return 0, ""
		}
		return http.StatusServiceUnavailable, ""
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, rs.URL, io.NopCloser(strings.NewReader("once")))
	if err != nil {
		t.Fatal(err)
	}
	response, err := newClient(t, as).Do(req)
	if err != nil {
		t.Fatalf("error is %v, want the original 401", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status is %d, want 401", response.StatusCode)
	}
}

func TestAuth15RefusalDuringAFlightWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs := &server{delay: 8 * time.Second}, &api{refuses: refuse("AT1", "AT2")}
		as.answer = func(n int, _ url.Values) (int, string) {
			return http.StatusOK, fmt.Sprintf(`{"access_token":"AT%d","token_type":"Bearer","expires_in":%d,"refresh_token":"RT%d"}`, n, 20, n+1)
		}
		p := as.policy()
		_ = p.Do(t.Context(), testCall, rs.do) // AT1 is refused, then AT2: the guard is up
		time.Sleep(7*time.Second + 100*time.Millisecond)
		slow := make(chan error, 1)
		go func() {
			slow <- p.Do(t.Context(), testCall, func(_ context.Context, call policy.Call) error {
				if !strings.HasSuffix(headerOf(call, "Authorization"), "AT3") {
					time.Sleep(time.Second) // AT2 expires, and a flight begins
					return &refusal{}
				}
				return nil
			})
		}()
		time.Sleep(500 * time.Millisecond)
		go func() { _ = p.Do(t.Context(), testCall, rs.do) }()
		if err := <-slow; err != nil {
			t.Errorf("Do() = %v, want the token that was on its way", err)
		}
	})
}

func TestAuth16TokenIsAcceptedByWhoeverObjectsToTheCallOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{}
		p := as.policy()
		notFound := policy.WithClass(errors.New("not found"), policy.Permanent)
		for i := 1; i <= 3; i++ { // three revocations, with an answer after each new token
			refused := fmt.Sprint("AT", i)
			err := p.Do(t.Context(), testCall, func(_ context.Context, call policy.Call) error {
				if strings.HasSuffix(headerOf(call, "Authorization"), refused) {
					return &refusal{}
				}
				return notFound
			})
			if !errors.Is(err, notFound) {
				t.Errorf("Do() = %v after revocation %d, want %v", err, i, notFound)
			}
		}
	})
}

func TestAuth28TimeoutDoesNotBlameTheAPIForTheTokenEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{delay: time.Hour}
		circuit := breaker.New(breaker.Config{ConsecutiveFailures: 1})
		p := pipeline.Must(pipeline.New("test", circuit, timeout.New(timeout.Config{Limit: time.Second}), as.policy()))
		err := p.Do(t.Context(), testCall, (&api{}).do)
		if !errors.Is(err, timeout.ErrExceeded) || circuit.State(testCall.Key) != breaker.Closed {
			t.Errorf("Do() = %v, circuit %v, want %v and a closed circuit", err, circuit.State(testCall.Key), timeout.ErrExceeded)
		}
		time.Sleep(time.Hour)
	})
}

func TestAuth40ErrorsOfForeignSources(t *testing.T) {
	leak := fmt.Errorf("token: %w", &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest}, Body: []byte("refresh_token=canary")})
	p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) { return nil, leak })})
	err := p.Do(t.Context(), testCall, (&api{}).do)
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); err == nil || strings.Contains(text, "canary") || !strings.Contains(text, "400") {
		t.Errorf("error prints as %s, want the status and nothing of the body", text)
	}
}

func TestPanicOfAnObserverReachesTheCaller(t *testing.T) {
	p := pipeline.Must(pipeline.New("test", (&server{}).policy())).WithObserver(func(context.Context, policy.Event) { panic("observer") })
	defer func() {
		if got := recover(); got != "observer" {
			t.Errorf("recover() = %v, want the observer's panic", got)
		}
	}()
	_ = p.Do(t.Context(), testCall, (&api{}).do)
}

func TestLeaderThatLeavesAsTheTokenComes(t *testing.T) {
	const rounds = 500
	var refreshed atomic.Int32
	for range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		landed := make(chan struct{})
		p := pipeline.Must(pipeline.New("test", auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			go cancel()
			return &oauth2.Token{AccessToken: "AT"}, nil
		})}))).WithObserver(func(_ context.Context, e policy.Event) {
			if e.Name == "auth.refreshed" {
				refreshed.Add(1)
				close(landed)
			}
		})
		_ = p.Do(ctx, testCall, (&api{}).do)
		<-landed
	}
	if got := refreshed.Load(); got != rounds {
		t.Errorf("told %d times of %d new tokens", got, rounds)
	}
}

func TestTokenThatComesAsItsFlightIsOverdueIsTold(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			said := new(transcript)
			p := auth.New(auth.Config{Timeout: time.Second, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				time.Sleep(time.Second)
				return &oauth2.Token{AccessToken: "AT"}, nil
			})})
			_ = p.Do(t.Context(), testCall.WithRecorder(said), (&api{}).do)
			time.Sleep(time.Minute)
			if !strings.Contains(said.String(), "auth.refreshed") {
				t.Errorf("policy said %q, want it to tell of the token", said)
			}
		})
	}
}

func TestAuth25WhatASourceSaysOfItsErrorRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest}, Body: []byte("canary")}
		asked := 0
		p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			asked++
			return nil, fmt.Errorf("%w: %w", auth.ErrReauthRequired, answer)
		})})
		for range 10 {
			err := p.Do(t.Context(), testCall, (&api{}).do)
			if !errors.Is(err, auth.ErrReauthRequired) || strings.Contains(fmt.Sprintf("%+v", err), "canary") {
				t.Errorf("Do() = %+v, want %v without the answer's body", err, auth.ErrReauthRequired)
			}
			time.Sleep(time.Minute)
		}
		if asked != 1 {
			t.Errorf("source was asked %d times, want once", asked)
		}
	})
}

func TestAuth25SetTokenAnswersThoseWhoWait(t *testing.T) {
	for name, newPolicy := range map[string]func(*server) *auth.Policy{
		"refresh token":      func(as *server) *auth.Policy { return as.policy() },
		"client credentials": func(as *server) *auth.Policy { return auth.New(auth.Config{Source: as.clientCredentials()}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				as, rs := &server{delay: 10 * time.Second}, &api{}
				p := newPolicy(as)
				start := time.Now()
				waited := make(chan time.Duration, 1)
				go func() {
					_ = p.Do(t.Context(), testCall, rs.do)
					waited <- time.Since(start)
				}()
				synctest.Wait()
				if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET", Expiry: time.Now().Add(time.Hour)}); err != nil {
					t.Fatal(err)
				}
				if took := <-waited; took != 0 {
					t.Errorf("who waited had a token after %v, want at once", took)
				}
				time.Sleep(time.Minute) // the flight lands, and its token is not wanted
				_ = p.Do(t.Context(), testCall, rs.do)
				if got := rs.tokens(); got != "SET SET" {
					t.Errorf("API got %s, want the token that was set until it expires", got)
				}
			})
		})
	}
}

func TestAuth25SetTokenGetsRidOfAHungSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		hung := make(chan struct{})
		p := auth.New(auth.Config{Timeout: time.Second, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			if asked.Add(1) == 1 {
				<-hung
			}
			return &oauth2.Token{AccessToken: "AT"}, nil
		})})
		_ = p.Do(t.Context(), testCall, (&api{}).do)
		if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET", Expiry: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := p.Do(t.Context(), testCall, (&api{}).do); err != nil || asked.Load() != 2 {
			t.Errorf("Do() = %v after %d token requests, want nil after 2", err, asked.Load())
		}
		close(hung)
	})
}

// slowRefresh is a RefreshToken with a server that heeds no context.
type slowRefresh struct {
	auth.RefreshToken
	take func() *oauth2.Token
}

func (s slowRefresh) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	return s.take(), nil
}

func newSlowRefresh(take func() *oauth2.Token) slowRefresh {
	return slowRefresh{(&server{}).refreshToken(), take}
}

func TestAuth25SetTokenIsUsedThoughAnOverdueOneComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := auth.New(auth.Config{Timeout: time.Second, Source: newSlowRefresh(func() *oauth2.Token {
			time.Sleep(10 * time.Second)
			return &oauth2.Token{AccessToken: "LATE", RefreshToken: "RT2"}
		})})
		rs := &api{}
		_ = p.Do(t.Context(), testCall, rs.do) // ends when its flight is overdue
		if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET", Expiry: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		_ = p.Do(t.Context(), testCall, rs.do)
		time.Sleep(time.Minute)
		_ = p.Do(t.Context(), testCall, rs.do)
		if got := rs.tokens(); got != "SET SET" {
			t.Errorf("API got %s, want the token that was set until it expires", got)
		}
	})
}

func TestAuth05NobodyWaitsForEverIfATokenIsSetAsAFlightIsOverdue(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			hung := make(chan struct{})
			defer close(hung)
			p := auth.New(auth.Config{Timeout: time.Second, Source: newSlowRefresh(func() *oauth2.Token {
				<-hung
				return nil
			})})
			go func() { _ = p.Do(t.Context(), testCall, (&api{}).do) }()
			time.Sleep(time.Second) // as long as the flight may take
			if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "SET"}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_ = p.Do(ctx, testCall, (&api{refuses: refuse("SET")}).do)
			if ctx.Err() != nil {
				t.Error("Do() waited for a flight that was overdue")
			}
		})
	}
}

func TestAuth01SetTokenSpendsNoRefreshTokenOfAForeignSourceTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var spent []string
		p := auth.New(auth.Config{Source: source(func(_ context.Context, old *oauth2.Token) (*oauth2.Token, error) {
			current := "RT1"
			if old != nil && old.RefreshToken != "" {
				current = old.RefreshToken
			}
			mu.Lock()
			spent = append(spent, current)
			mu.Unlock()
			time.Sleep(time.Second)
			return &oauth2.Token{AccessToken: "AT", RefreshToken: "RT2"}, nil
		})})
		go func() { _ = p.Do(t.Context(), testCall, (&api{}).do) }()
		synctest.Wait()
		if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "NEW"}); err != nil {
			t.Fatal(err)
		}
		err := p.Do(t.Context(), testCall, (&api{refuses: refuse("NEW")}).do)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(spent, " "); err != nil || got != "RT1" {
			t.Errorf("Do() = %v, refresh tokens sent: %s, want nil and RT1 once", err, got)
		}
	})
}

func TestAuth16ExpiredTokenIsReplacedWhateverTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		minted := 0
		p := auth.New(auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			minted++
			return &oauth2.Token{AccessToken: fmt.Sprint("AT", minted), ExpiresIn: 4}, nil
		})})
		_ = p.Do(t.Context(), testCall, (&api{refuses: refuse("AT1", "AT2")}).do) // the guard is up
		err := p.Do(t.Context(), testCall, func(_ context.Context, call policy.Call) error {
			if strings.HasSuffix(headerOf(call, "Authorization"), "AT3") {
				return nil
			}
			time.Sleep(5 * time.Second) // AT2 expires meanwhile
			return &refusal{}
		})
		if err != nil || minted != 3 {
			t.Errorf("Do() = %v with %d tokens, want nil with 3", err, minted)
		}
	})
}

func TestAuth31TruncatedButWholeAnswerKeepsItsRefreshToken(t *testing.T) {
	calls := 0
	var spent []string
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		calls++
		_ = r.ParseForm()
		spent = append(spent, r.PostForm.Get("refresh_token"))
		body := io.Reader(strings.NewReader(`{"Access_Token":"AT","token_type":"Bearer","refresh_token":"RT2","expires_in":1.5}`))
		if calls == 1 {
			body = io.MultiReader(body, broken{})
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body), Request: r}, nil
	})}
	source := auth.RefreshToken{TokenURL: "https://login.example.com/token", ClientID: "client", RefreshToken: "RT1", HTTPClient: client}
	token, err := source.Token(t.Context(), nil)
	if err != nil || token.RefreshToken != "RT2" || token.AccessToken != "AT" {
		t.Fatalf("Token() = %+v, %v, want what the answer holds", token, err)
	}
	if _, err := source.Token(t.Context(), token); err != nil || strings.Join(spent, " ") != "RT1 RT2" {
		t.Errorf("Token() = %v, refresh tokens sent: %q, want nil and each once", err, spent)
	}
}

// broken fails where a body should end.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAuth07BaseTransportWithoutAnAnswer(t *testing.T) {
	for _, response := range []*http.Response{nil, {StatusCode: http.StatusOK}} {
		client := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return response, nil })}
		source := auth.RefreshToken{TokenURL: "https://login.example.com/token", ClientID: "client", RefreshToken: "RT1", HTTPClient: client}
		if token, err := source.Token(t.Context(), nil); err == nil {
			t.Errorf("Token() = %v, nil, want an error", token)
		}
	}
}

func TestFlightTellsIfItsLeaderHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refreshed atomic.Int32
		p := pipeline.Must(pipeline.New("test", (&server{delay: time.Second}).policy())).WithObserver(func(_ context.Context, e policy.Event) {
			if e.Name == "auth.refreshed" {
				refreshed.Add(1)
			}
			panic("observer") // ends no process
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		func() {
			defer func() { _ = recover() }()
			_ = p.Do(ctx, testCall, (&api{}).do)
		}()
		time.Sleep(time.Minute)
		if got := refreshed.Load(); got != 1 {
			t.Errorf("told %d times of the new token, want once", got)
		}
	})
}

func TestRefusedTokenThatIsKeptIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := (&server{}).policy()
		_ = p.Do(t.Context(), testCall, (&api{refuses: refuseAll}).do)
		said := new(transcript)
		_ = p.Do(t.Context(), testCall.WithRecorder(said), (&api{refuses: refuseAll}).do)
		if got, want := said.String(), "auth.deferred"; got != want {
			t.Errorf("policy said %q, want %q", got, want)
		}
	})
}
