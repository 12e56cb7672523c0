package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/evenkeel-go/evenkeel/policy"
)

const (
	dpopScheme = "DPoP" // in the Authorization header, and as type of token (RFC 9449, sections 5 and 7.1)
	needsNonce = "use_dpop_nonce"
	badProof   = "invalid_dpop_proof"
)

var errNotBound = errors.New("the token is not bound to a key: want one of type DPoP") // RFC 9449, section 5

// scheme returns how tokens are sent in the Authorization header, unless Prefix
// says otherwise.
func (c *Config) scheme() string {
	if c.DPoP != nil {
		return dpopScheme
	}
	return "Bearer"
}

// doBound is Do with tokens that are bound to the key of Config.DPoP. If the
// server wants a nonce in the proof, it makes the call once more with that: there
// is nothing wrong with the token.
func (p *Policy) doBound(ctx context.Context, call policy.Call, next policy.Handler) error {
	d, renewed := p.config.DPoP, false
	return p.do(ctx, call, func(ctx context.Context, g *generation) error {
		bound := call.WithHeader(p.config.Header, g.header).WithHeaderFunc("DPoP", func(method, url string) (string, error) {
			proof, err := d.proof(call.Key, method, url, g.token.AccessToken)
			return proof, unproven(err)
		})
		err := next(ctx, bound)
		if !d.learnFrom(call.Key, err) || renewed || ctx.Err() != nil || !wantsNonce(err) || !repeatable(call, err) {
			return err
		}
		renewed = true
		call.Emit(ctx, "auth.nonce_renewed", p.grant.labels...)
		err = next(ctx, bound)
		d.learnFrom(call.Key, err)
		return err
	})
}

// learnFrom takes down the nonce that a server has sent with its refusal.
func (d *DPoP) learnFrom(origin string, err error) bool {
	e, ok := errors.AsType[interface {
		error
		// Header returns the value of a header of the response.
		Header(name string) string
	}](err)
	return ok && d.learn(origin, e.Header("DPoP-Nonce"))
}

// wantsNonce reports whether err is a refusal for want of a nonce (RFC 9449,
// section 9).
func wantsNonce(err error) bool {
	if policy.ClassOf(err) != policy.Unauthenticated {
		return false
	}
	for _, c := range challengesOf(err) {
		if strings.EqualFold(c.Scheme, dpopScheme) && c.Params["error"] == needsNonce {
			return true
		}
	}
	return false
}

// unproven returns the error of a call that is not made as there is no proof.
func unproven(err error) error {
	if err == nil {
		return nil
	}
	e := unavailable(err)
	if policy.ClassOf(err) == policy.Permanent {
		e.outcome = configError
	}
	return e
}
