package auth

import (
	"context"
	"errors"

	"golang.org/x/oauth2"
)

// FromTokenSource returns a [Source] that asks ts.
//
// Of what this package promises only the part on its own side holds: one call
// of ts at a time, for all who wait, and tokens that are not used to their last
// second. A ts that caches, as most do, cannot be told that its token has been
// refused; it gives the same one again, and the refusal is then the call's result.
//
// The text of errors of ts is not told, as it may hold anything, but they can be
// matched and unwrapped; an [oauth2.RetrieveError] is told by status and code.
func FromTokenSource(ts oauth2.TokenSource) Source { return tokenSource{ts} }

type tokenSource struct{ source oauth2.TokenSource }

func (s tokenSource) Validate() error {
	if s.source == nil {
		return errors.New("invalid TokenSource nil: want one that gives tokens")
	}
	return nil
}

func (s tokenSource) grantType() string { return "token_source" }

// Token implements [Source]. It cannot pass on ctx: the policy copes with
// sources that do not heed it.
func (s tokenSource) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	token, err := s.source.Token()
	if err == nil {
		return token, nil
	}
	if cleaned := cleaned(ctx, err); cleaned != nil {
		return nil, cleaned.told
	}
	return nil, opaqueError{err}
}

// A boundPolicy is a policy with the context to ask it with, for want of a
// better place.
type boundPolicy struct {
	policy *Policy
	ctx    context.Context // oauth2.TokenSource has no parameter for it
}

// Token implements [oauth2.TokenSource].
func (b boundPolicy) Token() (*oauth2.Token, error) { return b.policy.Token(b.ctx) }
