package interop_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/pipeline"
)

// What a revoked token is answered is the server's own idea here, and not that of our API.
func TestAuth17UserInfo(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		if tr.revokedStatus == 0 {
			t.Skip("the server has no API of its own")
		}
		w := newWorld(t, tr, config{})
		c := w.loggedIn(t)
		c.must(t) // which shows our API the token
		w.revoke(t, w.api.last())
		c.url = w.userInfoURL
		got, err := c.get(t.Context(), "")
		if tr.revokedStatus == http.StatusUnauthorized {
			if err != nil || !strings.HasPrefix(got, `{"sub":`) {
				t.Errorf("get() = %s, %v, want who the user is", got, err)
			}
			w.wantRequests(t, 2)
			return
		}
		if err == nil || !strings.Contains(err.Error(), "answered 403") {
			t.Errorf("get() = %s, %v, want the answer as it came", got, err)
		}
		w.wantRequests(t, 1)
	})
}

// A 403 of the server's own API costs a token, and no more, if we say that it blames the token.
func TestAuth17UserInfoForbidden(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		if tr.revokedStatus != http.StatusForbidden {
			t.Skip("the server does not answer 403")
		}
		w := newWorld(t, tr, config{})
		p := auth.New(auth.Config{
			Source: w.refreshToken(w.login(t).RefreshToken),
			Unauthenticated: func(err error) bool {
				e, ok := errors.AsType[*pipeline.StatusError](err)
				return ok && e.StatusCode == http.StatusForbidden
			},
		})
		transport := pipeline.Must(pipeline.New("t", p)).WithFailures(http.StatusForbidden).Transport(newTransport(t))
		c := &client{w.api.url, p, &http.Client{Transport: transport}}
		c.must(t) // which shows our API the token
		w.revoke(t, w.api.last())
		c.url = w.userInfoURL
		if got, err := c.get(t.Context(), ""); err != nil || !strings.HasPrefix(got, `{"sub":`) {
			t.Errorf("get() = %s, %v, want who the user is", got, err)
		}
		w.wantRequests(t, 2)
	})
}

func TestAuth42UserInfo(t *testing.T) {
	each(t, func(t *testing.T, tr traits) {
		if tr.revokedStatus == 0 {
			t.Skip("the server has no API of its own")
		}
		w := newWorld(t, tr, config{})
		errRevoked := errors.New("revoked")
		p := auth.New(auth.Config{
			Source:          w.refreshToken(w.login(t).RefreshToken),
			Unauthenticated: func(err error) bool { return errors.Is(err, errRevoked) },
		})
		client := &http.Client{Transport: newTransport(t)}
		var answers []int
		ask := func(ctx context.Context, token *oauth2.Token) error {
			status, err := w.userInfo(ctx, client, token)
			answers = append(answers, status)
			if status == tr.revokedStatus {
				return errRevoked
			}
			w.api.note(token.AccessToken)
			return err
		}
		for range 2 {
			if err := p.Use(t.Context(), ask); err != nil {
				t.Fatalf("Use() = %v after answers %v, want nil", err, answers)
			}
			w.revoke(t, w.api.last())
		}
		if want := []int{200, tr.revokedStatus, 200}; !slices.Equal(answers, want) {
			t.Errorf("server answered %v, want %v", answers, want)
		}
		w.wantRequests(t, 2)
	})
}

// userInfo calls the server's own API without a pipeline.
func (w *world) userInfo(ctx context.Context, client *http.Client, token *oauth2.Token) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.userInfoURL, http.NoBody)
	if err != nil {
		return 0, err
	}
	token.SetAuthHeader(request)
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
