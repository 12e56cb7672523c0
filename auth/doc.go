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
// call is made once more. A second 401 is the call's result, unless that token is
// older than the first 401, as it had been renewed just before: it may have been
// revoked too, and the call is made a third time, with one that is new.
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
// Many servers give out a new refresh token with every access token, and take the
// use of an old one for theft: they then revoke all tokens of the grant, and a
// human must log in again (RFC 9700, section 4.14.2). The policy therefore never
// makes two token requests at a time with the same one, and goes on with the
// refresh token that it got last. After a failure that may pass, such as a timeout
// or a 503, a later call sends the same refresh token again, as there is no other.
//
// It keeps that in memory, unless there is a [Config.Store]. So without one, do not
// give the same refresh token to several programs or to several policies, and
// start with one that is still good.
//
// No client can be safe from one thing: the server rotates the refresh token, and
// then its answer is lost on the way, or the program crashes before it has saved
// it. The old one is spent, and nobody has the new one. A request that may not have
// arrived is therefore repeated once, at once: that helps if it has not, or if the
// server forgives the use of the last but one for a while, as many can be told to.
// Otherwise the grant is lost: calls fail with [ErrReauthRequired], and nothing is
// asked of the server any more, until [Policy.SetToken] brings a new one.
//
// # Fleets
//
// Replicas of a program that were given the same refresh token share it through a
// [Store], under the key [Config.Grant]:
//
//	auth.New(auth.Config{Source: source, Store: auth.NewFileStore("grants.json"), Grant: "orders"})
//
// Then one of them asks for a token, saves it together with the new refresh token,
// and only after that uses it; the others find it in the store. Whoever wants to ask
// takes a lease first, which is part of the record in the store. If it dies, another one
// takes over after one and a half times [Config.Timeout]; it cannot know whether the
// request had arrived, so the limit above applies. It applies also if a replica alone
// loses its way to the store for that long, after it has spent the refresh token.
// Clocks need not agree. After a 401, too, the token in the store comes first, if it
// is another one than was refused.
//
// While the store is out of reach, tokens that are still good are used, and refresh
// tokens are not, see [Config.FailOpen]; once or twice a second it is seen whether
// it is back. What came when it could not be saved is used, and saved as soon as
// possible; wait for that with [Policy.Close] before the program ends. A store must
// not forget, nor go back in time, as a replica of a database does that lags
// behind: refresh tokens would be spent twice.
//
// The refresh token in [Config.Source] is where the record begins. It is of no
// interest any more once it has been taken up, in whatever replica that was, so
// programs may be started again with the same one. With one that the record has not
// seen, from a new login, it begins again.
//
// There are stores in memory and in a file, others in Redis and PostgreSQL in modules
// of their own, and package authtest tests yours. [Encrypt] seals what they keep.
// Tokens that are bound to a key need the same key in all replicas, see [NewDPoP].
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
// # Tenants
//
// A service that calls on behalf of many tenants or users has one [Keyed] for
// all of them, which tells by the context whose token a call is to carry:
//
//	source := auth.RefreshToken{TokenURL: tokenURL, ClientID: "orders", ClientSecret: secret}
//	tenants := auth.NewKeyed(auth.KeyedConfig{
//		Key: func(ctx context.Context, _ policy.Call) (string, error) { return tenantOf(ctx) },
//		New: func(context.Context, string) (auth.Config, error) {
//			return auth.Config{Source: source, Store: store}, nil // each has a record of its own
//		},
//	})
//	p, err := pipeline.New("orders", tenants)
//	err = tenants.For("acme").SetToken(ctx, token) // after a login
//
// Each tenant has a policy to itself. One whose token endpoint hangs, whose
// grant is lost, or whose API refuses its tokens is nobody else's concern. Those
// that are not used are dropped after a while, and made anew when they are.
//
// Refresh tokens that rotate want a [Store], where the next one is found then.
// Without one they have to stay in memory for as long as the program runs, see
// [Keyed].
//
// # Where tokens go
//
// A token goes to the origins in [Config.Origins], over https; unencrypted only
// to this machine. A request that brings credentials of its own, or that is
// redirected to another origin, passes through untouched, as does its 401. No
// token, secret, or answer of a token endpoint appears in an error, an event, or
// a printed configuration.
package auth
