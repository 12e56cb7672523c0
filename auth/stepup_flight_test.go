package auth_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestAuth17CallThatNeedsATokenOutlivesAStepUpOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := &server{expiresIn: "60"}
		p := auth.New(auth.Config{Source: as.refreshToken(), StepUp: func(context.Context, *oauth2.Token, []auth.Challenge) (*oauth2.Token, error) {
			time.Sleep(10 * time.Second)
			return nil, nil
		}})
		_ = p.Do(t.Context(), testCall, (&api{}).do)
		challenge := &refusal{[]string{`Bearer error="insufficient_user_authentication"`}}
		go func() { _ = p.Do(t.Context(), testCall, (&api{refuses: refuseAll, refusal: challenge}).do) }()
		synctest.Wait()
		if err := p.Do(t.Context(), testCall, (&api{refuses: refuse("AT1")}).do); err != nil {
			t.Errorf("Do() = %v, want nil with a new token", err)
		}
		time.Sleep(time.Minute)
	})
}

type bounded struct {
	context.Context
	asked *atomic.Int32
}

func (b bounded) Err() error {
	if b.asked.Add(1) > 1000 {
		return context.Canceled
	}
	return nil
}

// A bounded context has ended when it has been asked too often.
func TestAuth17StepUpDoesNotSpinWhileAFlightIsOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		calls := 0
		p := auth.New(auth.Config{
			Timeout: time.Second,
			Source: source(func(context.Context, *oauth2.Token) (*oauth2.Token, error) {
				if calls++; calls > 1 {
					<-hung
				}
				return &oauth2.Token{AccessToken: "AT1", ExpiresIn: 60}, nil
			}),
			StepUp: func(context.Context, *oauth2.Token, []auth.Challenge) (*oauth2.Token, error) { return nil, nil },
		})
		_ = p.Do(t.Context(), testCall, (&api{}).do)
		time.Sleep(49 * time.Second)
		_ = p.Do(t.Context(), testCall, (&api{}).do) // begins a renewal that hangs
		time.Sleep(900 * time.Millisecond)
		ctx := bounded{t.Context(), new(atomic.Int32)}
		challenge := &refusal{[]string{`Bearer error="insufficient_user_authentication"`}}
		err := p.Do(ctx, testCall, func(context.Context, policy.Call) error {
			time.Sleep(time.Second)
			return challenge
		})
		if n := ctx.asked.Load(); n > 100 {
			t.Errorf("Do() = %v after it has asked %d times whether it is over", err, n)
		}
		close(hung)
	})
}
