package auth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth32TokenThatIsTooOldForUsIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{answer: func(n int, _ url.Values) (int, string) {
			return http.StatusOK, `{"access_token":"AT` + strings.Repeat("I", n) + `","token_type":"Bearer"}`
		}}, new(auth.MemoryStore)
		start := func() *auth.Policy {
			return auth.New(auth.Config{Source: as.refreshToken(), Store: store, Grant: "grant", MaxAge: time.Minute})
		}
		if err := start().Do(t.Context(), testCall, (&api{}).do); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := start().Do(t.Context(), testCall, (&api{}).do); err != nil || as.count() != 2 {
			t.Errorf("Do() = %v after %d token requests, want nil after 2", err, as.count())
		}
	})
}

func TestAuth32TokenWithoutLifeIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{}, new(auth.MemoryStore)
		as.answer = func(n int, _ url.Values) (int, string) {
			if n == 1 {
				as.rotate()
				return http.StatusOK, `{"access_token":"DEAD","token_type":"Bearer","expires_in":0,"refresh_token":"RT2"}`
			}
			return 0, ""
		}
		_ = as.replica(store).Do(t.Context(), testCall, (&api{}).do)
		rs := &api{}
		if err := as.replica(store).Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT2" {
			t.Errorf("Do() = %v with %s, want nil with AT2", err, rs.tokens())
		}
	})
}

func TestAuth03TokensOfDifferentKeysAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, store := &server{}, new(auth.MemoryStore)
		as.answer = func(n int, _ url.Values) (int, string) {
			return http.StatusOK, `{"access_token":"AT` + strings.Repeat("I", n) + `","token_type":"DPoP","expires_in":3600}`
		}
		start := func(d *auth.DPoP) *auth.Policy {
			s := as.refreshToken()
			s.DPoP = d
			return auth.New(auth.Config{Source: s, DPoP: d, Store: store, Grant: "grant"})
		}
		mine, yours := auth.NewDPoP(nil), auth.NewDPoP(nil)
		for _, tt := range []struct {
			key  *auth.DPoP
			want string
		}{{mine, "ATI"}, {yours, "ATII"}, {mine, "ATI"}} {
			if token, err := start(tt.key).Token(t.Context()); err != nil || token.AccessToken != tt.want {
				t.Errorf("Token() = %v, %v, want %s", token, err, tt.want)
			}
		}
	})
}

func TestAuth33LoginIsNotUndoneByAFlightThatHasJustSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as, rs, memory := &server{}, &api{}, new(auth.MemoryStore)
		swaps := 0
		p := as.replica(&brittleStore{Store: memory, swap: func(write func() error) (error, bool) {
			if swaps++; swaps == 2 { // the answer to this one takes a while
				err := write()
				time.Sleep(time.Second)
				return err, true
			}
			return nil, false
		}})
		done := make(chan error, 1)
		go func() { done <- p.Do(t.Context(), testCall, rs.do) }()
		synctest.Wait()
		as.setCurrent(50)
		if err := p.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT50"}); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Do() = %v for who waited, want nil", err)
		}
		if err := p.Do(t.Context(), testCall, rs.do); err != nil || rs.tokens() != "AT2 AT2" || as.spent() != "RT1 RT50" {
			t.Errorf("Do() = %v, API got %s, refresh tokens sent: %s, want nil and the tokens of the new login", err, rs.tokens(), as.spent())
		}
	})
}
