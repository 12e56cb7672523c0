package auth

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An arrival is a token, and how it came.
type arrival struct {
	token   *oauth2.Token
	asked   time.Time     // when it was asked for, with a monotonic reading
	took    time.Duration // from then until it was there
	rotated bool          // it came with another refresh token than was used
	adopted bool          // another replica had asked for it
	waited  time.Duration // for other replicas
}

// fetch gets the token that a flight is after.
func (g *grant) fetch(ctx context.Context, f *flight) (arrival, error) {
	if g.fleet != nil {
		return g.fleet.fetch(ctx, f)
	}
	end, err := f.takeTurn(ctx, g.timeout)
	if err != nil {
		return arrival{}, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { g.overdue(f) })
	defer stop()
	return ask(ctx, f.source, f.old, nil)
}

// ask asks a source for a token that takes the place of old. If nobody can
// tell whether the request has arrived, it is made once more, at once, unless
// moved reports that another one has been: the refresh token may not have been
// used, and if it has, some servers forgive a second use for a while.
func ask(ctx context.Context, source Source, old *oauth2.Token, moved func() bool) (arrival, error) {
	asked := time.Now()
	token, err := source.Token(ctx, old)
	if ctx.Err() == nil && ambiguous(err) && (moved == nil || !moved()) {
		asked = time.Now()
		token, err = source.Token(ctx, old)
	}
	spent := spends(source, old)
	rotated := token != nil && token.RefreshToken != "" && spent != "" && token.RefreshToken != spent
	return arrival{token: token, asked: asked, took: time.Since(asked), rotated: rotated}, err
}

// spends returns the refresh token that source uses to replace old.
func spends(source Source, old *oauth2.Token) string {
	switch {
	case grantType(source) == (ClientCredentials{}).grantType(), grantType(source) == (tokenSource{}).grantType():
		return "" // whatever came with the access token
	case old != nil && old.RefreshToken != "":
		return old.RefreshToken
	}
	return firstOf(source)
}

// firstOf returns the refresh token that source begins with, or "".
func firstOf(source Source) string {
	if s, ok := source.(interface{ firstRefreshToken() string }); ok && !isNil(source) {
		return s.firstRefreshToken()
	}
	return ""
}

// ambiguous reports whether a token request that failed with err may have
// been carried out, or may not.
func ambiguous(err error) bool {
	unanswered, ok := errors.AsType[*requestError](err)
	return ok && unanswered.class == policy.Transient
}

// A handler is the source of tokens that meet a challenge.
type handler struct {
	stepUp     func(ctx context.Context, old *oauth2.Token, challenges []Challenge) (*oauth2.Token, error)
	challenges []Challenge
}

// Token implements [Source].
func (h handler) Token(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	token, err := h.stepUp(ctx, old, h.challenges)
	if err == nil && token == nil {
		return nil, errNoStepUp
	}
	return token, err
}

var errNoStepUp = refusal("there is no token that meets the challenge")

// stepUpFailure returns what becomes of a failed step-up.
func stepUpFailure(err error) *AuthError {
	if errors.Is(err, errNoStepUp) {
		return errNoStepUp
	}
	return foreign(err)
}
