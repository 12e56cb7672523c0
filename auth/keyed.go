package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// KeyedConfig configures a [Keyed]. Key and New are required.
type KeyedConfig struct {
	// Name identifies the policy. Default: "auth".
	Name string `json:"name" yaml:"name"`

	// Key returns on whose behalf a call is made: a tenant, a user, an account. It
	// is asked before every call, and mostly goes by the context. If it returns an
	// error, or the empty string, the call fails with an [*AuthError] and is not
	// sent. The error appears in that of the call, so it must not tell secrets. It
	// must be safe for concurrent use.
	Key func(ctx context.Context, call policy.Call) (string, error) `json:"-" yaml:"-"`

	// New returns the configuration for a key. Its Name is not used. Its Grant
	// is the key if it has a Store and says nothing else. All the rest is the
	// key's own, above all the Source: what two keys have in common, they share.
	//
	// It is asked when a key is first used, and again after what was held for it
	// was dropped; by one call for all that wait for it, with that call's context.
	// It returns soon after that has ended, and what takes long is better left to
	// the Source. An error is that of all who wait, and the next call asks again.
	// As with those of a [Source], its class says what becomes of it, and its text
	// must not tell secrets. It must be safe for concurrent use.
	New func(ctx context.Context, key string) (Config, error) `json:"-" yaml:"-"`

	// MaxKeys is for how many keys policies are held. If there are more, those
	// that were used least recently are dropped. Default: 1000.
	MaxKeys int `json:"max_keys" yaml:"max_keys"`

	// IdleFor is how long a policy is held that is not used. It is dropped when
	// another key is used after that. Default: an hour.
	IdleFor time.Duration `json:"idle_for" yaml:"idle_for"`

	// MaxFlights is how many token requests may be under way at a time, for all
	// keys together. One more waits for its turn, first come, first served, for as
	// long as its Config.Timeout, and then has all of that for itself. As a key has
	// one request under way at a time, and none for longer than its Timeout, it
	// takes this many keys whose token endpoints hang to hold up the others.
	// Default: 64.
	MaxFlights int `json:"max_flights" yaml:"max_flights"`

	// ShowDigest adds a digest of the key to events and steps: "key.digest". It
	// is the same in all programs, so whoever can guess a key can tell that it is
	// this one. Default: keys do not appear at all.
	ShowDigest bool `json:"show_digest" yaml:"show_digest"`
}

// A Keyed is a policy for calls on behalf of many: it holds a [Policy] for each
// key, and sends no key's token with the call of another. Make one with
// [NewKeyed]. It is safe for concurrent use; pipelines that share one share its
// tokens.
//
// Keys do not wait for each other, except for a turn if there are too many token
// requests at a time.
//
// What is held for a key is dropped when it has been idle for too long, or if
// there are too many, but never while a call is in it, while a token request is
// under way, or while its outcome is not in the [Store] yet. Nor is it dropped
// if it alone knows the refresh token to use next, as the server has rotated it,
// or [Policy.SetToken] has brought it, and there is no Store: somebody would
// have to log in again. Such keys stay, even if they are more than MaxKeys, until
// they are closed, see [Keyed.For].
type Keyed struct {
	held *holder // behind a pointer, out of reach of what prints structs by reflection
}

// NewKeyed returns a policy with the given configuration that holds no key yet.
func NewKeyed(config KeyedConfig) *Keyed {
	config.Name = cmp.Or(config.Name, "auth")
	config.MaxKeys = cmp.Or(config.MaxKeys, 1000)
	config.IdleFor = cmp.Or(config.IdleFor, time.Hour)
	config.MaxFlights = cmp.Or(config.MaxFlights, 64)
	return &Keyed{newHolder(config)}
}

// Name implements [policy.Policy].
func (k *Keyed) Name() string {
	if k == nil || k.held == nil {
		return ""
	}
	return k.held.config.Name
}

// Type names the policy's spans: "auth".
func (k *Keyed) Type() string { return "auth" }

// PerKey reports that calls have a token each of their own key. A pipeline asks for its
// warnings.
func (k *Keyed) PerKey() bool { return true }

// Validate reports what is wrong with the policy's configuration. What is wrong
// with that of a key is the error of its calls.
func (k *Keyed) Validate() error {
	if k == nil || k.held == nil {
		return errNotMadeKeyed
	}
	var errs []error
	c := &k.held.config
	if c.Key == nil {
		errs = append(errs, errors.New("invalid Key nil: want a function that tells on whose behalf a call is made"))
	}
	if c.New == nil {
		errs = append(errs, errors.New("invalid New nil: want a function that returns the configuration for a key"))
	}
	if c.MaxKeys < 0 {
		errs = append(errs, fmt.Errorf("invalid MaxKeys %d: want at least 1", c.MaxKeys))
	}
	if c.IdleFor < 0 {
		errs = append(errs, fmt.Errorf("invalid IdleFor %v: want more than 0", c.IdleFor))
	}
	if c.MaxFlights < 0 {
		errs = append(errs, fmt.Errorf("invalid MaxFlights %d: want at least 1", c.MaxFlights))
	}
	return errors.Join(errs...)
}

var errNotMadeKeyed = policy.WithClass(errors.New("auth: not usable: want a Keyed made with NewKeyed, with valid configuration"), policy.Permanent)

// Do implements [policy.Policy]. It is [Policy.Do] of the policy of the call's
// key.
func (k *Keyed) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	return k.with(ctx, call, func(p *Policy) error { return p.Do(ctx, call, next) })
}

// Use is [Policy.Use] of the policy of the key that ctx tells of: Key gets the
// zero Call.
func (k *Keyed) Use(ctx context.Context, op func(ctx context.Context, token *oauth2.Token) error) error {
	return k.with(ctx, policy.Call{}, func(p *Policy) error { return p.Use(ctx, op) })
}

// Token is [Policy.Token] of the policy of the key that ctx tells of: Key gets
// the zero Call.
func (k *Keyed) Token(ctx context.Context) (token *oauth2.Token, err error) {
	err = k.with(ctx, policy.Call{}, func(p *Policy) error {
		token, err = p.Token(ctx)
		return err
	})
	return token, err
}

// Invalidate is [Policy.Invalidate], whichever key's token it is.
func (k *Keyed) Invalidate(token *oauth2.Token) {
	if k.Validate() != nil {
		return
	}
	for _, p := range k.held.policies() {
		p.Invalidate(token)
	}
}

// with calls f with the policy of a call's key.
func (k *Keyed) with(ctx context.Context, call policy.Call, f func(*Policy) error) error {
	if k.Validate() != nil {
		return errNotMadeKeyed
	}
	key, err := k.held.config.Key(ctx, call)
	if err != nil {
		return fail(ctx, call, keyFailure(ctx, err), nil)
	}
	return k.held.with(ctx, call, key, f)
}

// For returns the policy of a key: to set its token after a login, or to use it
// without a pipeline, or in one of its own. It may be kept, and holds nothing
// back from being dropped: each of its methods goes to what is held for key at
// that time. If there is nothing, they have it made, except Invalidate and Close.
//
// Its Close has key dropped: it asks for no tokens any more, waits until the
// token request under way is over and what it brought is in the store, and
// forgets it. Later calls begin anew, with what New returns.
func (k *Keyed) For(key string) *Policy {
	return &Policy{config: &Config{Name: k.Name()}, of: &owner{k, key}}
}

// Close is [Policy.Close] for all keys. Calls of other keys than those that are
// held fail afterwards.
func (k *Keyed) Close(ctx context.Context) error {
	if k.Validate() != nil {
		return errNotMadeKeyed
	}
	k.held.shut()
	policies := k.held.policies()
	for _, p := range policies { // all of them, before waiting for any
		p.grant.shut()
	}
	for _, p := range policies {
		if err := p.grant.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Format implements [fmt.Formatter]. Keys may be secrets, so k prints as no more
// than its name, whatever the verb.
func (k *Keyed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "auth.Keyed("+k.Name()+")") }

var errNoKey = refusal("there is no key: want one that tells on whose behalf the call is made")

// keyFailure returns the error of a call whose key cannot be told because of
// err. Another attempt is of no use: it comes with the same context.
func keyFailure(ctx context.Context, err error) *AuthError {
	if ctx.Err() != nil {
		return errLeft(ctx)
	}
	e := unavailable(fmt.Errorf("there is no key: %w", err))
	e.outcome = configError
	if errors.Is(err, ErrReauthRequired) {
		e.outcome = reauthRequired
	}
	return e
}

// newFailure returns the error of calls for whose key there is no policy because
// of err.
func newFailure(err error) *AuthError {
	return foreign(fmt.Errorf("there is no configuration for the key: %w", err))
}
