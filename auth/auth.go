package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// ErrReauthRequired matches the errors of calls for which there is no token
// and will be none before somebody logs in again: the server says that the
// grant is expired, revoked, or has been used up. Asking again is useless and
// is not done. [Policy.SetToken] ends it.
var ErrReauthRequired = errors.New("auth: reauthorization required")

// ErrTokenUnavailable matches the errors of all other calls for which there is
// no token: the token endpoint cannot be reached or is out of order, refuses the
// client, takes longer than the call may, or the call must not have one.
var ErrTokenUnavailable = errors.New("auth: token unavailable")

// Config configures a [Policy]. Source is required.
type Config struct {
	// Name identifies the policy. Default: "auth".
	Name string `json:"name" yaml:"name"`

	// Source is where tokens come from: a [RefreshToken], [ClientCredentials],
	// what [FromTokenSource] returns, or a [Source] of your own.
	Source Source `json:"-" yaml:"-"`

	// Timeout is how long one request for a token may take, whoever waits for
	// it, from 1 ms to an hour. Default: 15 s.
	Timeout time.Duration `json:"timeout" yaml:"timeout"`

	// MaxAge is how long a token is used at most, for servers that do not say
	// when a token expires, or revoke them early. Default: as long as the server
	// says, and until it is refused if the server does not say.
	MaxAge time.Duration `json:"max_age" yaml:"max_age"`

	// JWTExpiry has access tokens that are JWTs expire at their exp claim (RFC
	// 7519, section 4.1.4) if the server has not said when they do. It goes by
	// this machine's wall clock. Default: tokens are not looked into.
	JWTExpiry bool `json:"jwt_expiry" yaml:"jwt_expiry"`

	// KeepWarm has the token renewed in time even while there are no calls, once
	// there has been one, until [Policy.Close]. Default: a token that nobody uses is
	// not renewed, and nothing runs while there is nothing to do.
	KeepWarm bool `json:"keep_warm" yaml:"keep_warm"`

	// StepUp is asked for another token if the API says that the one it got is
	// good, but not enough: a 401 with claims, with
	// insufficient_user_authentication (RFC 9470, section 3), or with another error
	// that is about neither an invalid token nor a proof. It gets the last token with
	// its refresh token, and the challenges, which are what the server sent, so they
	// belong in no error: the text of StepUp's errors appears in those of calls. It has
	// to return within Timeout. There is one call at a time, and no more often than
	// refused tokens are replaced. The call is then made once more. With a nil token and
	// a nil error the refusal remains the call's result. Default: the refusal is the
	// call's result.
	StepUp func(ctx context.Context, old *oauth2.Token, challenges []Challenge) (*oauth2.Token, error) `json:"-" yaml:"-"`

	// Store is where the grant is kept, for replicas of the program to share, and
	// for the next start: see "Fleets" in the package's documentation. It needs Grant.
	// Default: each policy keeps the grant to itself.
	Store Store `json:"-" yaml:"-"`

	// Grant is the key of the grant in Store: the same in all replicas, and for
	// each login another. Its length and characters are the Store's affair.
	Grant string `json:"grant" yaml:"grant"`

	// FailOpen has refresh tokens be spent even while Store is out of reach, at the
	// start of the program, too, when all that is known is the one in Source.
	// Replicas may then spend the same one, or one that was spent long ago, which
	// revokes the grant on servers that rotate them. Default: calls without a token
	// that is still good fail with [ErrTokenUnavailable] until Store is back.
	// Client credentials do without it either way.
	FailOpen bool `json:"fail_open" yaml:"fail_open"`

	// Origins are those that the token may be sent to, such as
	// "https://api.example.com" (RFC 6454: scheme, host, and port unless it is
	// the scheme's own). Calls for others pass through untouched. It applies to
	// calls whose Key is an http or https origin, as that of every HTTP request
	// is. Default: any, so set it where the URL to call comes from elsewhere.
	Origins []string `json:"origins" yaml:"origins"`

	// AllowInsecure permits to send the token to http origins other than
	// loopback. Default: such calls are refused with [ErrTokenUnavailable].
	AllowInsecure bool `json:"allow_insecure" yaml:"allow_insecure"`

	// Header is the header that carries the token. Default: "Authorization".
	// A call that brings this header itself passes through untouched.
	Header string `json:"header" yaml:"header"`

	// Prefix stands before the token, separated by a space; in the
	// Authorization header it is the scheme. Default: "Bearer" (RFC 6750,
	// section 2.1), or "DPoP" with DPoP, in the Authorization header, nothing in
	// others.
	Prefix string `json:"prefix" yaml:"prefix"`

	// DPoP binds tokens to a key (RFC 9449): they are sent with the scheme DPoP,
	// and every HTTP request carries a proof that its sender has the key. Source
	// must have the same one, or bind its tokens in a way of its own. Each new nonce
	// that a server wants in proofs costs one more request, as nonces are taken from
	// answers that are failures in a pipeline, such as 401, and not from good ones. It
	// excludes Header, Prefix, and Inject. Default: none, tokens are not bound.
	DPoP *DPoP `json:"-" yaml:"-"`

	// Inject gives the token to a call in a way of its own, such as in the
	// metadata of gRPC, and returns what goes on. It must not change the token,
	// which others use at the same time, and which comes without the refresh
	// token. Default: the call gets the header.
	Inject func(ctx context.Context, call policy.Call, token *oauth2.Token) (context.Context, policy.Call) `json:"-" yaml:"-"`

	// Unauthenticated reports whether an error means that the token was
	// refused, beyond those of class [policy.Unauthenticated]: a 403 of a server
	// that knows no better, say. Over HTTP a 403 is an error only in a pipeline that
	// takes it for a failure, see its method WithFailures. Default: none.
	Unauthenticated func(error) bool `json:"-" yaml:"-"`
}

// A Policy sends a token with every call. Make one with [New]. It is safe for
// concurrent use; pipelines that share one share its token.
type Policy struct {
	config *Config // behind a pointer, out of reach of what prints structs by reflection
	grant  *grant
	of     *owner // in place of a grant, in what [Keyed.For] returns
}

// New returns a policy with the given configuration. It asks for no token
// before the first call.
func New(config Config) *Policy {
	config.Name = cmp.Or(config.Name, "auth")
	config.Timeout = cmp.Or(config.Timeout, 15*time.Second)
	config.Header = cmp.Or(config.Header, "Authorization")
	config.Prefix = strings.TrimSpace(config.Prefix)
	if strings.EqualFold(config.Header, "Authorization") {
		config.Prefix = cmp.Or(config.Prefix, config.scheme())
	}
	config.Origins = slices.Clone(config.Origins)
	for i, origin := range config.Origins {
		config.Origins[i] = cmp.Or(normalOrigin(origin), origin)
	}
	return &Policy{config: &config, grant: newGrant(config)}
}

// Name implements [policy.Policy].
func (p *Policy) Name() string {
	if p == nil || p.config == nil {
		return ""
	}
	return p.config.Name
}

// Type names the policy's spans: "auth".
func (p *Policy) Type() string { return "auth" }

// Validate reports what is wrong with the policy's configuration, its source's
// included.
func (p *Policy) Validate() error {
	switch {
	case p.isOwned():
		return p.of.keyed.Validate()
	case p == nil || p.grant == nil:
		return errNotMade
	}
	c := p.config
	return errors.Join(
		validateSource(c.Source, c.Store),
		validateTimeout(c.Timeout),
		validateMaxAge(c.MaxAge),
		validateStore(c.Store, c.Grant, c.FailOpen),
		validateOrigins(c.Origins, c.AllowInsecure),
		validateHeader(c.Header, c.Prefix),
		validateDPoP(c),
	)
}

// Do implements [policy.Policy]. It has the call carry a token, and carries it
// out once more, with another token, if the first is refused; and once more again if
// that one is refused too and may be older than the refusal. Without a token the call
// fails with an [*AuthError].
func (p *Policy) Do(ctx context.Context, call policy.Call, next policy.Handler) error {
	switch {
	case p.isOwned():
		return p.of.with(ctx, call, func(p *Policy) error { return p.Do(ctx, call, next) })
	case p == nil || p.grant == nil:
		return errNotMade
	case p.grant.inFlight(ctx):
		return p.failed(ctx, call, errRecursive)
	case !call.Accepts(p.config.Header) || !p.covers(call.Key):
		return next(ctx, call)
	case !p.config.AllowInsecure && insecure(call.Key):
		return p.failed(ctx, call, insecureError(call.Key))
	case p.config.DPoP != nil:
		return p.doBound(ctx, call, next)
	}
	return p.do(ctx, call, func(ctx context.Context, g *generation) error {
		if p.config.Inject != nil {
			ctx, authorized := p.config.Inject(ctx, call, g.token)
			return next(ctx, authorized)
		}
		return next(ctx, call.WithHeader(p.config.Header, g.header))
	})
}

// Use calls op with a token, and again with another if op says by its
// error that the first was refused: with [policy.ErrUnauthenticated], or another
// error of its class. It is for those who do without a pipeline. What it returns
// is what [Policy.Do] would.
//
// The token is shared with others and must not be changed. It comes without the
// refresh token. It is up to op to send it to no one but those it is meant for:
// Origins and AllowInsecure do not apply.
//
// With a [DPoP], op sends a proof of its own, see [DPoP.Proof].
//
// An op that cannot be called twice says so with a method Final() bool of its
// error, see [policy.Final].
func (p *Policy) Use(ctx context.Context, op func(ctx context.Context, token *oauth2.Token) error) error {
	var call policy.Call
	switch {
	case p.isOwned():
		return p.of.with(ctx, call, func(p *Policy) error { return p.Use(ctx, op) })
	case p == nil || p.grant == nil:
		return errNotMade
	case p.grant.inFlight(ctx):
		return p.failed(ctx, call, errRecursive)
	}
	return p.do(ctx, call, func(ctx context.Context, g *generation) error { return op(ctx, g.token) })
}

// SetToken has the policy go on with a token that it did not ask for itself:
// after a user has logged in again, or at the start, with one that is known from
// before. Its refresh token, if there is one, takes the place of the one that the
// policy has; what a token request under way brings for another one is then of no
// interest any more. Its access token, if there is one that has not expired, is
// used until it expires or is refused.
//
// Set a refresh token only if it is new from the server: one that the policy has
// had before may have been spent, and is then taken for stolen.
//
// With a [Config.Store] the token is set for all replicas. If the store cannot be
// reached, SetToken fails. The token may be in the store all the same, if only the
// answer was lost, so repeat SetToken until it succeeds: that does no harm.
//
// It is what ends [ErrReauthRequired].
func (p *Policy) SetToken(ctx context.Context, token *oauth2.Token) error {
	switch {
	case p.isOwned():
		return p.of.with(ctx, policy.Call{}, func(p *Policy) error { return p.SetToken(ctx, token) })
	case p == nil || p.grant == nil:
		return errNotMade
	case token == nil || token.AccessToken == "" && token.RefreshToken == "":
		return errEmptyToken
	}
	return p.grant.set(ctx, token)
}

// Token returns a token that has not expired, and asks for one if need be. It is
// for those who send it themselves, and say by [Policy.Invalidate] that it was refused;
// [Policy.Use] does both. The token is shared with others and must not be changed. It
// comes without the refresh token. Errors are those of [Policy.Do].
func (p *Policy) Token(ctx context.Context) (*oauth2.Token, error) {
	var call policy.Call
	switch {
	case p.isOwned():
		return p.of.token(ctx)
	case p == nil || p.grant == nil:
		return nil, errNotMade
	case p.grant.inFlight(ctx):
		return nil, p.failed(ctx, call, errRecursive)
	}
	g, failure := p.grant.obtain(ctx, call, nil)
	if failure != nil {
		return nil, p.failed(ctx, call, failure)
	}
	return g.token, nil
}

// Invalidate says that token was refused, so that it is replaced when the next
// one is asked for. It does nothing if token is not the current one any more, or if a new
// token has been refused, too, only a while ago.
func (p *Policy) Invalidate(token *oauth2.Token) {
	if p.isOwned() {
		p = p.of.current()
	}
	if p != nil && p.grant != nil && token != nil {
		p.grant.invalidate(token.AccessToken)
	}
}

// TokenSource returns p as what other packages take for a source of tokens. Its
// Token method waits no longer than ctx allows. What uses it cannot say that a token
// was refused.
func (p *Policy) TokenSource(ctx context.Context) oauth2.TokenSource { return boundPolicy{p, ctx} }

// Close has p ask for no tokens any more, waits until the token request under way
// is over and what it brought is in the store, and ends the renewal of
// [Config.KeepWarm]. It returns an error if ctx ends before; then what is under way
// goes on. Calls for which there is a token that has not expired still succeed
// afterwards.
func (p *Policy) Close(ctx context.Context) error {
	switch {
	case p.isOwned():
		return p.of.forget(ctx)
	case p == nil || p.grant == nil:
		return errNotMade
	}
	return p.grant.close(ctx)
}

// do carries out send with a token.
func (p *Policy) do(ctx context.Context, call policy.Call, send func(context.Context, *generation) error) error {
	g, failure := p.grant.obtain(ctx, call, nil)
	if failure != nil {
		return p.failed(ctx, call, failure)
	}
	var refusal time.Time // of the token before
	for sends := 1; ; sends++ {
		err := send(ctx, g)
		verdict := p.verdict(err)
		switch {
		case verdict == good:
			p.accepted(g, err)
			return err
		case sends == 3, sends == 2 && !g.olderThan(refusal):
			return err
		case !repeatable(call, err):
			if verdict == refused {
				p.grant.replace(ctx, call, g) // for those who follow
			}
			return err
		}
		call.Note(ctx, slog.Bool("challenged", true))
		refusal = time.Now()
		fresh, failure := p.another(ctx, call, g, verdict, err)
		switch {
		case failure != nil:
			return p.failed(ctx, call, failure.after(err))
		case fresh.header == g.header:
			call.Emit(ctx, "auth.deferred", p.grant.labels...) // it must not be replaced again so soon, or cannot be
			return err
		}
		g = fresh
	}
}

// another returns the token to send in place of one that was refused.
func (p *Policy) another(ctx context.Context, call policy.Call, g *generation, v verdict, err error) (*generation, *AuthError) {
	if v == notEnough {
		return p.grant.raise(ctx, call, g, challengesOf(err))
	}
	return p.grant.obtain(ctx, call, g)
}

// accepted takes note of a call that was carried out with g and ended with err:
// whoever has no objection but to the call has accepted the token.
func (p *Policy) accepted(g *generation, err error) {
	if err == nil || policy.ClassOf(err) == policy.Permanent {
		p.grant.accepted(g)
	}
}

// A verdict is what an API says of a token.
type verdict int

const (
	good      verdict = iota // or no worse than another would be
	refused                  // another might be accepted
	notEnough                // one with more to it might
)

// verdict returns what an API that answered with err says of the token.
func (p *Policy) verdict(err error) verdict {
	switch {
	case err == nil:
		return good
	case policy.ClassOf(err) == policy.Unauthenticated:
		return judge(challengesOf(err), p.config.Prefix, p.config.StepUp != nil)
	case p.config.Unauthenticated != nil && p.config.Unauthenticated(err):
		return refused
	}
	return good
}

// repeatable reports whether call can be made again after err.
func repeatable(call policy.Call, err error) bool {
	if policy.Final(err) {
		return false
	}
	// Credentials are checked before anything takes effect.
	return !call.Once || policy.NoEffect(err) || policy.ClassOf(err) == policy.Unauthenticated
}

// failed reports that call fails for want of a token.
func (p *Policy) failed(ctx context.Context, call policy.Call, err *AuthError) error {
	return fail(ctx, call, err, p.grant.labels)
}

// fail is failed for calls that have found no policy.
func fail(ctx context.Context, call policy.Call, err *AuthError, labels []slog.Attr) error {
	if err.Class() != policy.Canceled {
		call.Emit(ctx, "auth.failed", append(err.attrs(), labels...)...)
	}
	own := *err // others got the same
	return &own
}

// Format implements [fmt.Formatter]. A policy holds secrets, so it prints as no
// more than its name, whatever the verb.
func (p *Policy) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "auth.Policy("+p.Name()+")") }
