package auth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// newJWT returns a token with the given payload, as far as anybody looks.
func newJWT(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// usedUntil returns how long a token is used that a source gives, 0 if not at all, and
// -1 if it is used until it is refused.
func usedUntil(t *testing.T, config auth.Config, token oauth2.Token) time.Duration {
	t.Helper()
	minted := 0
	config.Source = source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
		if minted++; minted == 1 {
			return &token, nil
		}
		return nil, errors.New("no other")
	})
	p := auth.New(config)
	start := time.Now()
	if err := p.Do(t.Context(), testCall, succeed); err != nil {
		for range 100 { // no loop
			_ = p.Do(t.Context(), testCall, succeed)
		}
		if !errors.Is(err, auth.ErrTokenUnavailable) || minted != 1 {
			t.Errorf("Do() = %v after %d token requests, want ErrTokenUnavailable after 1", err, minted)
		}
		return 0
	}
	for _, step := range []time.Duration{time.Second, time.Hour} { // finely at first
		for end := time.Now().Add(3700 * step); time.Now().Before(end); time.Sleep(step) {
			if err := p.Do(t.Context(), testCall, succeed); err != nil {
				return time.Since(start)
			}
		}
	}
	return -1
}

func TestAuth12MaxAge(t *testing.T) {
	at := func(d time.Duration) oauth2.Token {
		return oauth2.Token{AccessToken: "AT", Expiry: time.Now().Add(d)}
	}
	tests := []struct {
		name   string
		maxAge time.Duration
		token  func() oauth2.Token
		want   time.Duration
	}{
		{"the server says nothing", time.Hour, func() oauth2.Token { return oauth2.Token{AccessToken: "AT"} }, 3590 * time.Second},
		{"the server says more", time.Hour, func() oauth2.Token { return at(10 * time.Hour) }, 3590 * time.Second},
		{"the server says less", time.Hour, func() oauth2.Token { return at(time.Minute) }, 50 * time.Second},
		{"ExpiresIn", time.Hour, func() oauth2.Token { return oauth2.Token{AccessToken: "AT", ExpiresIn: 36000} }, 3590 * time.Second},
		{"short", 8 * time.Second, func() oauth2.Token { return at(time.Hour) }, 6 * time.Second},
		{"huge", math.MaxInt64, func() oauth2.Token { return at(time.Minute) }, 50 * time.Second},
		{"expired already", time.Hour, func() oauth2.Token { return at(-time.Minute) }, 0},
		{"none", 0, func() oauth2.Token { return oauth2.Token{AccessToken: "AT"} }, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := usedUntil(t, auth.Config{MaxAge: tt.maxAge}, tt.token()); got != tt.want {
					t.Errorf("the token was used for %v, want %v", got, tt.want)
				}
			})
		})
	}
	if err := auth.New(auth.Config{Source: (&server{}).refreshToken(), MaxAge: -1}).Validate(); err == nil {
		t.Error("Validate() = nil with a negative MaxAge, want an error")
	}
}

// What is shown of a token's expiry is what the policy goes by.
func TestAuth12MaxAgeIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := auth.New(auth.Config{MaxAge: time.Minute, Source: (&server{}).clientCredentials()})
		token, err := p.Token(t.Context())
		if err != nil || time.Until(token.Expiry) != time.Minute {
			t.Errorf("Token() = %v, want one that expires in 1m", err)
		}
	})
}

func TestAuth12JWTExpiry(t *testing.T) {
	const ignored = -1
	tests := []struct {
		name  string
		token func() string
		want  time.Duration
	}{
		{"in an hour", func() string { return newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+3600)) }, 3590 * time.Second},
		{"beside other claims", func() string {
			return newJWT(fmt.Sprintf(`{"iss":"x","aud":["a"],"exp":%d,"nbf":1}`, time.Now().Unix()+100))
		}, 90 * time.Second},
		{"with a fraction", func() string { return newJWT(fmt.Sprintf(`{"exp":%d.9}`, time.Now().Unix()+100)) }, 90 * time.Second},
		{"in scientific notation", func() string { return newJWT(fmt.Sprintf(`{"exp":%e}`, float64(time.Now().Unix()+100))) }, 90 * time.Second},
		{"in the past", func() string { return newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()-1)) }, 0},
		{"now", func() string { return newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix())) }, 0},
		{"long ago", func() string { return newJWT(`{"exp":1}`) }, 0},

		{"none", func() string { return newJWT(`{"sub":"x"}`) }, ignored},
		{"zero", func() string { return newJWT(`{"exp":0}`) }, ignored},
		{"negative", func() string { return newJWT(`{"exp":-1}`) }, ignored},
		{"huge", func() string { return newJWT(`{"exp":1e300}`) }, ignored},
		{"beyond numbers", func() string { return newJWT(`{"exp":1e400}`) }, ignored},
		{"in milliseconds", func() string { return newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().UnixMilli()+3600_000)) }, ignored},
		{"a string", func() string { return newJWT(`{"exp":"4102444800"}`) }, ignored},
		{"null", func() string { return newJWT(`{"exp":null}`) }, ignored},
		{"an object", func() string { return newJWT(`{"exp":{}}`) }, ignored},
		{"a list", func() string { return newJWT(`{"exp":[1]}`) }, ignored},
		{"true", func() string { return newJWT(`{"exp":true}`) }, ignored},
		{"not JSON", func() string { return newJWT(`exp`) }, ignored},
		{"no object", func() string { return newJWT(`[1]`) }, ignored},
		{"not base64", func() string { return "e30.{}.c2ln" }, ignored},
		{"two parts", func() string { return "e30.eyJleHAiOjF9" }, ignored},
		{"four parts", func() string { return "e30.eyJleHAiOjF9.c2ln.x" }, ignored},
		{"encrypted", func() string { return "e30.eyJleHAiOjF9.c2ln.x.y" }, ignored},
		{"opaque", func() string { return "AT" }, ignored},
		{"dots", func() string { return ".." }, ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := usedUntil(t, auth.Config{JWTExpiry: true}, oauth2.Token{AccessToken: tt.token()}); got != tt.want {
					t.Errorf("the token was used for %v, want %v", got, tt.want)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				if got := usedUntil(t, auth.Config{}, oauth2.Token{AccessToken: tt.token()}); got != ignored {
					t.Errorf("the token was looked into: used for %v, want until it is refused", got)
				}
			})
		})
	}
}

func TestAuth12JWTExpiryComesSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		jwt := newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+3600))
		got := usedUntil(t, auth.Config{JWTExpiry: true}, oauth2.Token{AccessToken: jwt, ExpiresIn: 100})
		if want := 90 * time.Second; got != want {
			t.Errorf("the token was used for %v, want %v, as the server says", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		jwt := newJWT(fmt.Sprintf(`{"exp":%d}`, time.Now().Unix()+3600))
		got := usedUntil(t, auth.Config{JWTExpiry: true, MaxAge: 100 * time.Second}, oauth2.Token{AccessToken: jwt})
		if want := 90 * time.Second; got != want {
			t.Errorf("the token was used for %v, want %v, its MaxAge", got, want)
		}
	})
}

// Whatever a token is, its expiry is either none or a time that package time can
// count with.
func FuzzJWTExpiry(f *testing.F) {
	for _, seed := range []string{
		"", "AT", "..", "a.b.c", "e30.eyJleHAiOjF9.c2ln", newJWT(`{"exp":4102444800}`), newJWT(`{"exp":-1}`), newJWT(`{"exp":1e400}`),
		newJWT(`{"exp":253402300798.99999}`), newJWT(`{"exp":0.1}`), newJWT(`{"exp":"1"}`), newJWT(`{"EXP":1}`), newJWT(`{"exp":1,"exp":[]}`),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		at := auth.JWTExpiry(token)
		if at.IsZero() {
			return
		}
		if s := at.Unix(); s < 0 || s > 253402300799 {
			t.Errorf("%q expires at %v", token, at)
		}
	})
}
