package auth

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// An owner is whose policy another one stands for.
type owner struct {
	keyed *Keyed
	key   string
}

func (o *owner) with(ctx context.Context, call policy.Call, f func(*Policy) error) error {
	if o.keyed.Validate() != nil {
		return errNotMadeKeyed
	}
	return o.keyed.held.with(ctx, call, o.key, f)
}

// current returns the policy that is held, or nil.
func (o *owner) current() *Policy {
	if o.keyed.Validate() != nil {
		return nil
	}
	_, p := o.keyed.held.find(o.key)
	return p
}

func (o *owner) forget(ctx context.Context) error {
	if o.keyed.Validate() != nil {
		return errNotMadeKeyed
	}
	return o.keyed.held.forget(ctx, o.key)
}

func (o *owner) token(ctx context.Context) (token *oauth2.Token, err error) {
	err = o.with(ctx, policy.Call{}, func(p *Policy) error {
		token, err = p.Token(ctx)
		return err
	})
	return token, err
}

// isOwned reports whether p stands for the policy of a key.
func (p *Policy) isOwned() bool { return p != nil && p.of != nil }
