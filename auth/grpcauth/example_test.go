package grpcauth_test

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/grpcauth"
	"github.com/evenkeel-go/evenkeel/policy"
)

// serve starts a server that refuses the token token-1.
func serve() (address string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		authorization := metadata.ValueFromIncomingContext(ctx, "authorization")
		fmt.Println("api:", authorization)
		if authorization[0] == "Bearer token-1" {
			return nil, status.Error(codes.Unauthenticated, "revoked")
		}
		return next(ctx, request)
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	return listener.Addr().String(), func() { server.Stop(); <-done }
}

// numbered is a source whose tokens are token-1, token-2, and so on.
type numbered struct{ n int }

func (s *numbered) Token(context.Context, *oauth2.Token) (*oauth2.Token, error) {
	s.n++
	return &oauth2.Token{AccessToken: fmt.Sprint("token-", s.n)}, nil
}

// The first token turns out to be revoked. The caller does not notice.
func Example() {
	address, stop := serve()
	defer stop()

	tokens := auth.New(auth.Config{Source: &numbered{}})
	authorized := grpcauth.Credentials{Policy: tokens, AllowInsecure: true} // as this server has no TLS
	conn, err := grpc.NewClient(address, authorized.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()

	reply, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{})
	fmt.Println(reply.GetStatus(), err)
	// Output:
	// api: [Bearer token-1]
	// api: [Bearer token-2]
	// SERVING <nil>
}

// With many tenants, each RPC carries the token of the one that its context
// tells of.
func Example_tenants() {
	address, stop := serve()
	defer stop()

	type tenant struct{} // the key of the tenant in contexts
	tenants := auth.NewKeyed(auth.KeyedConfig{
		Key: func(ctx context.Context, _ policy.Call) (string, error) {
			name, _ := ctx.Value(tenant{}).(string)
			return name, nil
		},
		New: func(_ context.Context, name string) (auth.Config, error) {
			token := &oauth2.Token{AccessToken: "token-of-" + name}
			return auth.Config{Source: auth.FromTokenSource(oauth2.StaticTokenSource(token))}, nil
		},
	})
	authorized := grpcauth.Credentials{Policy: tenants, AllowInsecure: true}
	conn, err := grpc.NewClient(address, authorized.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()

	client := healthpb.NewHealthClient(conn)
	for _, name := range []string{"acme", "globex"} {
		ctx := context.WithValue(context.Background(), tenant{}, name)
		if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// api: [Bearer token-of-acme]
	// api: [Bearer token-of-globex]
}
