// Package auth provides a policy that sends an OAuth 2.0 access token with
// every call, and replaces it as soon as it expires or the server refuses it.
//
//	source := auth.RefreshToken{
//		TokenURL:     "https://login.example.com/token",
//		ClientID:     "orders",
//		ClientSecret: secret,
//		RefreshToken: refreshToken,
//	}
//	p, err := pipeline.New("orders", auth.New(auth.Config{Source: source}))
//	client := &http.Client{Transport: p.Transport(nil)}
//
// # What happens on a 401
//
// The token that was refused is thrown away, a new one is asked for, and the
// call is made once more. A second 401 is the call's result.
//
// However many calls fail at once, and however late their 401s come in, a
// refused token is replaced by one token request: everybody waits for the same
// answer, and nobody longer than its own context allows. The request itself runs
// to its end even if all who wait for it have left, and what it brings is kept.
//
// A new token does not always help. Nothing is replaced if the server says
// that the token is good but not for this (403, insufficient_scope, a step-up
// challenge), or asks for another scheme than ours; the refusal is then the
// call's result. A server that refuses the new tokens too is not allowed to
// cause a token request for every call: the next ones are made after 10 seconds,
// then 20, up to 5 minutes, until a call succeeds.
//
// A call that cannot be made twice, because its body cannot, still has the token
// replaced for those who follow, and fails with the refusal that it got at once.
//
// # Rotation
//
// Many servers give out a new refresh token with every access token, and take
// the use of an old one for theft: they then revoke all tokens of the grant,
// and a human must log in again (RFC 9700, section 4.14.2). The policy therefore
// never makes two token requests at a time with the same one, and goes on with
// the refresh token that it got last. After a failure that may pass, such as a timeout or a 503, a
// later call sends the same refresh token again, as there is no other.
//
// It keeps that in memory. So a program that crashes after the server has
// rotated the refresh token has lost the grant, unless the server forgives the
// use of the last but one for a while; so has one that loses the answer to a
// token request on the way. Start with a refresh token that is still good, and
// do not give the same one to several programs or to several policies. When the
// grant is lost, calls fail with [ErrReauthRequired], and nothing is asked of the
// server any more, until [Policy.SetToken] brings a new one.
//
// # How the client authenticates itself
//
// By the one way that its source is given (RFC 6749, section 2.3): a secret, a
// secret that may be replaced while the program runs, or a statement that it signs
// with a private key, see [PrivateKeyJWT]. A public client has none of them, and
// only tells its identifier. Nothing is ever tried out.
//
// With a [DPoP], tokens are bound to a key, and every request carries a proof that
// whoever sends the token has the key (RFC 9449). A server that wants a nonce in the
// proof is sent the request once more with that, and the same token.
//
// # Where tokens go
//
// A token goes to the origins in [Config.Origins], over https; unencrypted only
// to this machine. A request that brings credentials of its own, or that is
// redirected to another origin, passes through untouched, as does its 401. No
// token, secret, or answer of a token endpoint appears in an error, an event, or
// a printed configuration.
package auth
