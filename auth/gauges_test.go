package auth_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// gauged returns what gauges show.
func gauged(gauges iter.Seq[policy.Gauge]) string {
	var texts []string
	for g := range gauges {
		texts = append(texts, fmt.Sprintf("%s %v %s", g.Name, g.Value, g.Unit))
	}
	return strings.Join(texts, ", ")
}

func TestAuth44Gauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{expiresIn: "100"}
		p := as.policy()
		want := func(when string, lost int, left any) {
			t.Helper()
			want := fmt.Sprintf("reauth_required %d {grant}, token.expires_in %v s", lost, left)
			if got := gauged(p.Gauges()); got != want {
				t.Errorf("%s: gauges are %s, want %s", when, got, want)
			}
		}
		call := func() { _ = p.Do(t.Context(), testCall, succeed) }

		want("at first", 0, "NaN")
		call()
		want("with a token", 0, 100)
		time.Sleep(30 * time.Second)
		want("later", 0, 70)
		as.setCurrent(9) // revoked
		time.Sleep(58 * time.Second)
		call() // renews it
		synctest.Wait()
		want("when the grant is lost, and the token still good", 1, 12)
		time.Sleep(time.Hour)
		want("when that has expired", 1, 0)
		call()
		want("when calls fail", 1, 0)
		if err := p.SetToken(t.Context(), &oauth2.Token{RefreshToken: "RT9"}); err != nil {
			t.Fatal(err)
		}
		want("after a login", 0, "NaN")
		call()
		want("with a token again", 0, 100)
		p.Invalidate(&oauth2.Token{AccessToken: "AT3"})
		want("without a token", 0, "NaN")
		if err := p.SetToken(t.Context(), &oauth2.Token{AccessToken: "AT"}); err != nil {
			t.Fatal(err)
		}
		want("with a token that does not tell", 0, "NaN")
	})
}

// What cannot be used has gauges too.
func TestAuth44GaugesOfNothing(t *testing.T) {
	for name, gauges := range map[string]iter.Seq[policy.Gauge]{
		"nil": (*auth.Policy)(nil).Gauges(), "zero": (&auth.Policy{}).Gauges(), "of a nil Keyed": (*auth.Keyed)(nil).For("a").Gauges(),
	} {
		if got, want := gauged(gauges), "reauth_required 0 {grant}, token.expires_in NaN s"; got != want {
			t.Errorf("%s: gauges are %s, want %s", name, got, want)
		}
	}
	if got, want := gauged((*auth.Keyed)(nil).Gauges()), "reauth_required 0 {grant}"; got != want {
		t.Errorf("nil Keyed: gauges are %s, want %s", got, want)
	}
}

func TestAuth44GaugesOfKeys(t *testing.T) {
	k := auth.NewKeyed(auth.KeyedConfig{Key: tenantOf, New: func(_ context.Context, tenant string) (auth.Config, error) {
		return auth.Config{Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
			if strings.HasPrefix(tenant, "lost") {
				return nil, auth.ErrReauthRequired
			}
			return &oauth2.Token{AccessToken: "AT"}, nil
		})}, nil
	}})
	for _, tenant := range []string{"lost 1", "lost 2", "well"} {
		_ = k.Do(as(t.Context(), tenant), testCall, succeed)
	}
	if got, want := gauged(k.Gauges()), "reauth_required 2 {grant}"; got != want {
		t.Errorf("gauges are %s, want %s", got, want)
	}
	if got, want := gauged(k.For("lost 1").Gauges()), "reauth_required 1 {grant}, token.expires_in NaN s"; got != want {
		t.Errorf("gauges of a key are %s, want %s", got, want)
	}
}
