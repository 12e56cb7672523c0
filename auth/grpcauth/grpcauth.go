// Package grpcauth sends the tokens of an [auth.Policy], or an [auth.Keyed], with
// the RPCs of a gRPC client, and has a token replaced that a server refuses.
//
//	tokens := auth.New(auth.Config{Source: source})
//	conn, err := grpc.NewClient("orders.example.com:443", grpcauth.Credentials{Policy: tokens}.DialOptions(
//		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
//	)...)
//
// # What happens when a token is refused
//
// An RPC that ends with the code Unauthenticated is made once more, with
// another token, as auth does it after a 401: however many RPCs are refused at
// once, there is one token request. A second refusal is the RPC's result, as is
// every other status: callers get the server's own.
//
// That holds for unary RPCs. A stream gets its token when it begins, and is not
// begun anew. If it ends with Unauthenticated, its token is not used for others
// any more.
//
// An RPC for which there is no token is not sent. Its error matches
// [auth.ErrReauthRequired] or [auth.ErrTokenUnavailable], and has a status:
// Unavailable if it may pass, Unauthenticated if not, or that of the caller's context
// if that has ended.
//
// # Where tokens go
//
// To whatever a client connects to, encrypted; see [Credentials.AllowInsecure].
// An RPC whose outgoing metadata has an authorization of its own passes through
// untouched. Tokens that are bound to a key ([auth.DPoP]) are for HTTP only.
package grpcauth

import (
	"context"

	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/evenkeel-go/evenkeel/auth"
)

// Credentials send the tokens of a policy. They are safe for concurrent use.
//
// [Credentials.DialOptions] is all that a client needs. The parts are there for
// those who put them together in a way of their own: the interceptors see the
// answers, and what [credentials.PerRPCCredentials] asks for sends the token. By
// itself the latter sends a token too, but never learns that it was refused.
type Credentials struct {
	// Policy is where tokens come from. Of its configuration, Origins,
	// AllowInsecure, Header, Prefix, and Inject are not used. Required.
	Policy Policy

	// AllowInsecure permits to send tokens over connections that are not
	// encrypted. Default: a client with such a connection is refused when it is made.
	AllowInsecure bool
}

// A Policy is where tokens come from: an [*auth.Policy], or an [*auth.Keyed], whose
// key the context of an RPC tells.
type Policy interface {
	Use(ctx context.Context, op func(ctx context.Context, token *oauth2.Token) error) error
	Token(ctx context.Context) (*oauth2.Token, error)
	Invalidate(token *oauth2.Token)
}

var (
	_ Policy                        = (*auth.Policy)(nil)
	_ Policy                        = (*auth.Keyed)(nil)
	_ credentials.PerRPCCredentials = Credentials{}
)

// DialOptions returns what has a client send tokens with its RPCs, followed by
// others: the arguments for [grpc.NewClient]. Chained interceptors among others are inside:
// they see each of the two RPCs that become of one whose token was refused.
func (c Credentials) DialOptions(others ...grpc.DialOption) []grpc.DialOption {
	return append([]grpc.DialOption{
		grpc.WithPerRPCCredentials(c),
		grpc.WithChainUnaryInterceptor(c.InterceptUnary),
		grpc.WithChainStreamInterceptor(c.InterceptStream),
	}, others...)
}

// RequireTransportSecurity implements [credentials.PerRPCCredentials].
func (c Credentials) RequireTransportSecurity() bool { return !c.AllowInsecure }

// GetRequestMetadata implements [credentials.PerRPCCredentials].
func (c Credentials) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if isAuthorized(ctx) {
		return nil, nil
	}
	token, ok := ctx.Value(tokenOf{c.Policy}).(*oauth2.Token)
	if !ok {
		var err error
		if token, err = c.policy().Token(ctx); err != nil {
			return nil, failed(ctx, err)
		}
	}
	return map[string]string{header: token.Type() + " " + token.AccessToken}, nil
}

// InterceptUnary is a [grpc.UnaryClientInterceptor].
func (c Credentials) InterceptUnary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if isAuthorized(ctx) {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	err := c.policy().Use(ctx, func(ctx context.Context, token *oauth2.Token) error {
		return classified(invoke(c.with(ctx, token), method, request, reply, conn, options...))
	})
	return told(ctx, err)
}

// InterceptStream is a [grpc.StreamClientInterceptor].
func (c Credentials) InterceptStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, begin grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if isAuthorized(ctx) {
		return begin(ctx, desc, conn, method, options...)
	}
	token, err := c.policy().Token(ctx)
	if err != nil {
		return nil, failed(ctx, err)
	}
	s, err := begin(c.with(ctx, token), desc, conn, method, options...)
	if err != nil {
		return nil, c.noted(token, err)
	}
	return &stream{s, c, token}, nil
}

// A stream takes note of the refusal of its token.
type stream struct {
	grpc.ClientStream

	credentials Credentials
	token       *oauth2.Token
}

// RecvMsg implements [grpc.ClientStream]. It is where the status of a stream
// appears.
func (s *stream) RecvMsg(m any) error {
	return s.credentials.noted(s.token, s.ClientStream.RecvMsg(m))
}

// noted returns the error of a stream, after taking note of it.
func (c Credentials) noted(token *oauth2.Token, err error) error {
	if status.Code(err) == codes.Unauthenticated {
		c.policy().Invalidate(token)
	}
	return err
}

const header = "authorization"

// isAuthorized reports whether an RPC has credentials of its own.
func isAuthorized(ctx context.Context) bool {
	md, _ := metadata.FromOutgoingContext(ctx)
	return len(md.Get(header)) > 0
}

// policy returns where tokens come from, be it nowhere, which is an error.
func (c Credentials) policy() Policy {
	if c.Policy == nil {
		return (*auth.Policy)(nil)
	}
	return c.Policy
}

// with returns a context for RPCs that are to carry a token. Interceptors cannot
// tell what sends it in another way.
func (c Credentials) with(ctx context.Context, token *oauth2.Token) context.Context {
	return context.WithValue(ctx, tokenOf{c.Policy}, token)
}

// tokenOf is the key of tokens in contexts.
type tokenOf struct{ Policy }
