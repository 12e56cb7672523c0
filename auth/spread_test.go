package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
)

// Instances that start together are to spread their refreshes evenly over a
// tenth of the lifetime. Of so many, a slice of one percent of the lifetime then
// gets 10 % of the refreshes, give or take 0.5 %, so that a share of 13 % comes by
// chance once in 10⁸ runs. Of 100 instances, more than 20 % come by chance in one
// slice of a thousand; had they less room to spread, that would be common.
func TestAuth10RefreshesAreSpread(t *testing.T) {
	const (
		instances = 4000
		most      = instances * 13 / 100
	)
	tests := []struct {
		name      string
		lifetime  time.Duration
		refreshIn time.Duration
		from, to  int // percent of the lifetime
	}{
		{"a day", 24 * time.Hour, 0, 75, 85},
		{"two minutes", 2 * time.Minute, 0, 72, 83}, // the rest is the skew, and a bit
		{"40 seconds", 40 * time.Second, 0, 57, 68},
		{"half time by the server", time.Hour, 30 * time.Minute, 50, 60},
		{"at once by the server", time.Hour, time.Second, 0, 11},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var slices [100]atomic.Int32
				start := time.Now()
				for range instances {
					first := true
					p := auth.New(auth.Config{KeepWarm: true, Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
						token := &oauth2.Token{AccessToken: "AT"} // that is good for ever
						if first {
							first = false
							token.Expiry = time.Now().Add(tt.lifetime)
							if tt.refreshIn > 0 {
								token = token.WithExtra(map[string]any{"refresh_in": tt.refreshIn.Seconds()})
							}
							return token, nil
						}
						slices[100*time.Since(start)/tt.lifetime].Add(1)
						return token, nil
					})})
					if err := p.Do(t.Context(), testCall, succeed); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(tt.lifetime)
				synctest.Wait()
				total := 0
				for percent := range slices {
					n := int(slices[percent].Load())
					total += n
					if n > most || n > 0 && (percent < tt.from || percent >= tt.to) {
						t.Errorf("%d of %d refreshes after %d%% of the lifetime, want at most %d, between %d%% and %d%%", n, instances, percent, most, tt.from, tt.to)
					}
				}
				if total != instances {
					t.Errorf("%d refreshes, want %d", total, instances)
				}
			})
		})
	}
}

func TestAuth10RefreshIn(t *testing.T) {
	usual := [2]time.Duration{2700 * time.Second, 3060 * time.Second} // 75 % to 85 %
	for refreshIn, want := range map[string][2]time.Duration{
		"1800":   {1800 * time.Second, 2160 * time.Second},
		`"1800"`: {1800 * time.Second, 2160 * time.Second},
		"1800.5": {1800 * time.Second, 2161 * time.Second},
		"3600":   {2700 * time.Second, 3590 * time.Second}, // in time, whatever the server says
		"1e300":  usual,
		"null":   usual,
		"0":      usual,
		"-1":     usual,
		`"soon"`: usual,
		`"NaN"`:  usual,
		`[1800]`: usual,
	} {
		t.Run(refreshIn, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var renewed atomic.Int64
				as := &server{answer: func(n int, _ url.Values) (int, string) {
					if n == 2 {
						renewed.Store(int64(time.Since(start)))
					}
					return http.StatusOK, fmt.Sprintf(`{"access_token":"AT%d","expires_in":3600,"refresh_in":%s}`, n, refreshIn)
				}}
				p := auth.New(auth.Config{Source: as.clientCredentials()})
				for renewed.Load() == 0 && time.Since(start) < time.Hour {
					if err := p.Do(t.Context(), testCall, succeed); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				if got := time.Duration(renewed.Load()); got < want[0] || got > want[1]+time.Second {
					t.Errorf("renewed after %v, want %v to %v", got, want[0], want[1])
				}
			})
		})
	}
}
