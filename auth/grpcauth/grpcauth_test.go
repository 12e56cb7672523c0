package grpcauth_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/local"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/evenkeel-go/evenkeel/auth"
	"github.com/evenkeel-go/evenkeel/auth/grpcauth"
	"github.com/evenkeel-go/evenkeel/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An api is a gRPC server that refuses some tokens.
type api struct {
	refuses func(authorization string) bool
	refusal codes.Code // default: Unauthenticated

	address string

	mu    sync.Mutex
	calls []string // the authorizations of all RPCs
}

// start starts a server that is stopped when t ends.
func (a *api) start(t *testing.T, options ...grpc.ServerOption) *api {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options,
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := a.check(ctx); err != nil {
				return nil, err
			}
			return next(ctx, request)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := a.check(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		}))...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		wg.Wait()
	})
	a.address = listener.Addr().String()
	return a
}

func (a *api) check(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	authorization := strings.Join(md.Get("authorization"), ", ")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, authorization)
	if a.refuses != nil && a.refuses(authorization) {
		if a.refusal == codes.OK {
			a.refusal = codes.Unauthenticated
		}
		return status.Error(a.refusal, "of the server")
	}
	return nil
}

// seen returns the authorizations of all RPCs.
func (a *api) seen() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.calls, "; ")
}

// client returns a client that is closed when t ends.
func (a *api) client(t *testing.T, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(a.address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// plain returns options for a client without encryption.
func plain(p *auth.Policy) []grpc.DialOption {
	return grpcauth.Credentials{Policy: p, AllowInsecure: true}.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// A login is a source whose tokens are AT1, AT2, and so on, until it fails.
type login struct {
	name  string // the end of its tokens
	fails func(n int) error
	wait  time.Duration

	mu sync.Mutex
	n  int
}

func (l *login) Token(ctx context.Context, _ *oauth2.Token) (*oauth2.Token, error) {
	l.mu.Lock()
	l.n++
	n := l.n
	l.mu.Unlock()
	if err := policy.Sleep(ctx, l.wait); err != nil {
		return nil, err
	}
	if l.fails != nil {
		if err := l.fails(n); err != nil {
			return nil, err
		}
	}
	return &oauth2.Token{AccessToken: fmt.Sprint("AT", n, l.name)}, nil
}

func (l *login) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func is(token string) func(string) bool {
	return func(authorization string) bool { return authorization == token }
}

func always(string) bool { return true }

var check = &healthpb.HealthCheckRequest{}

func TestAuth42Unary(t *testing.T) {
	tests := []struct {
		name string
		api  *api
		code codes.Code
		want string // what the server saw
	}{
		{"accepted", &api{}, codes.OK, "Bearer AT1"},
		{"refused", &api{refuses: is("Bearer AT1")}, codes.OK, "Bearer AT1; Bearer AT2"},
		{"refused twice", &api{refuses: always}, codes.Unauthenticated, "Bearer AT1; Bearer AT2"},
		{"not permitted", &api{refuses: always, refusal: codes.PermissionDenied}, codes.PermissionDenied, "Bearer AT1"},
		{"unavailable", &api{refuses: always, refusal: codes.Unavailable}, codes.Unavailable, "Bearer AT1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.api.start(t)
			client := tt.api.client(t, plain(auth.New(auth.Config{Source: &login{}}))...)
			reply, err := client.Check(t.Context(), check)
			s, ok := status.FromError(err)
			if !ok || s.Code() != tt.code || tt.code != codes.OK && s.Message() != "of the server" {
				t.Errorf("Check() = %v, want the server's own status, of code %v", err, tt.code)
			}
			if tt.code == codes.OK && reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("Check() = %v, want that it serves", reply)
			}
			if got := tt.api.seen(); got != tt.want {
				t.Errorf("the server saw %q, want %q", got, tt.want)
			}
		})
	}
}

// However many RPCs are refused, the token is replaced once.
func TestAuth15OneReplacementForAllRPCs(t *testing.T) {
	source := &login{}
	server := (&api{refuses: is("Bearer AT1")}).start(t)
	client := server.client(t, plain(auth.New(auth.Config{Source: source}))...)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := client.Check(t.Context(), check); err != nil {
				t.Errorf("Check() = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	if got := source.count(); got != 2 {
		t.Errorf("%d token requests, want 2", got)
	}
}

// A token that replaced a refused one, and has not been accepted, is not replaced
// at once. It is accepted by a server that refuses the RPC for another reason.
func TestAuth16Guard(t *testing.T) {
	for code, want := range map[codes.Code]string{
		codes.OK:                "Bearer AT1; Bearer AT2; Bearer AT2; Bearer AT3",
		codes.NotFound:          "Bearer AT1; Bearer AT2; Bearer AT2; Bearer AT3",
		codes.PermissionDenied:  "Bearer AT1; Bearer AT2; Bearer AT2; Bearer AT3",
		codes.Unavailable:       "Bearer AT1; Bearer AT2; Bearer AT2",
		codes.ResourceExhausted: "Bearer AT1; Bearer AT2; Bearer AT2",
	} {
		t.Run(code.String(), func(t *testing.T) {
			answers := []codes.Code{codes.Unauthenticated, code, codes.Unauthenticated, codes.OK}
			server := new(api)
			server.refuses = func(string) bool {
				server.refusal, answers = answers[0], answers[1:]
				return server.refusal != codes.OK
			}
			client := server.start(t).client(t, plain(auth.New(auth.Config{Source: &login{}}))...)
			for range 2 {
				_, _ = client.Check(t.Context(), check)
			}
			if got := server.seen(); got != want {
				t.Errorf("the server saw %q, want %q", got, want)
			}
		})
	}
}

// Errors of interceptors further in come back as they are, and are understood.
func TestAuth42InnerInterceptors(t *testing.T) {
	other := errors.New("of an interceptor")
	for _, inner := range []error{other, fmt.Errorf("no: %w", policy.ErrUnauthenticated)} {
		sends := 0
		client := new(api).start(t).client(t, append(plain(auth.New(auth.Config{Source: &login{}})), grpc.WithChainUnaryInterceptor(
			func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
				sends++
				return inner
			}))...)
		want := 1
		if errors.Is(inner, policy.ErrUnauthenticated) {
			want = 2
		}
		if _, err := client.Check(t.Context(), check); err != inner || sends != want {
			t.Errorf("Check() = %v after %d sends, want %v after %d", err, sends, inner, want)
		}
	}
}

// A stream gets a token when it begins. If that is refused, so is the stream, and
// the next one gets another.
func TestAuth42Stream(t *testing.T) {
	source := &login{}
	server := (&api{refuses: is("Bearer AT1")}).start(t)
	client := server.client(t, plain(auth.New(auth.Config{Source: source}))...)
	watch := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := client.Watch(ctx, check)
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	if err := watch(); status.Code(err) != codes.Unauthenticated || status.Convert(err).Message() != "of the server" {
		t.Errorf("Recv() = %v, want the server's own refusal", err)
	}
	for range 2 {
		if err := watch(); err != nil {
			t.Errorf("Recv() = %v, want nil", err)
		}
	}
	if got, want := server.seen(), "Bearer AT1; Bearer AT2; Bearer AT2"; got != want || source.count() != 2 {
		t.Errorf("the server saw %q after %d token requests, want %q after 2", got, source.count(), want)
	}
}

// Without a token nothing is sent, and errors say why both to those who know
// gRPC and to those who know tokens.
func TestAuth21Errors(t *testing.T) {
	tests := []struct {
		name  string
		fails error
		after bool // after a refusal
		wait  time.Duration
		is    error
		code  codes.Code
	}{
		{name: "passes", fails: errors.New("down"), is: auth.ErrTokenUnavailable, code: codes.Unavailable},
		{name: "passes, after a refusal", fails: errors.New("down"), after: true, is: auth.ErrTokenUnavailable, code: codes.Unavailable},
		{name: "lost", fails: auth.ErrReauthRequired, is: auth.ErrReauthRequired, code: codes.Unauthenticated},
		{name: "lost, after a refusal", fails: auth.ErrReauthRequired, after: true, is: auth.ErrReauthRequired, code: codes.Unauthenticated},
		{name: "client refused", fails: policy.WithClass(errors.New("invalid_client"), policy.Permanent), is: policy.ErrRejected, code: codes.Unauthenticated},
		{name: "deadline", wait: time.Minute, is: context.DeadlineExceeded, code: codes.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			source := &login{wait: tt.wait, fails: func(n int) error {
				if tt.after && n == 1 {
					return nil
				}
				return tt.fails
			}}
			p := auth.New(auth.Config{Source: source, Timeout: 100 * time.Millisecond})
			t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
			server := (&api{refuses: always}).start(t)
			ctx := t.Context()
			if tt.wait > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 10*time.Millisecond)
				defer cancel()
			}
			client := server.client(t, plain(p)...)
			_, err := client.Check(ctx, check)
			assertTokenError(t, "Check()", err, tt.is, tt.code)
			if sent := server.seen() != ""; sent != tt.after {
				t.Errorf("was sent: %v, want %v", sent, tt.after)
			}
			if !tt.after {
				_, err = client.Watch(ctx, check)
				assertTokenError(t, "Watch()", err, tt.is, tt.code)
			}
			_, err = grpcauth.Credentials{Policy: p, AllowInsecure: true}.GetRequestMetadata(ctx)
			assertTokenError(t, "GetRequestMetadata()", err, tt.is, tt.code)
		})
	}
}

func assertTokenError(t *testing.T, what string, err, is error, code codes.Code) {
	t.Helper()
	if _, ok := errors.AsType[*auth.AuthError](err); !ok || !errors.Is(err, is) || status.Code(err) != code {
		t.Errorf("%s = %v of code %v, want an AuthError that matches %v, of code %v", what, err, status.Code(err), is, code)
	}
}

// RPCs with credentials of their own are left alone, as are their refusals.
func TestAuth37OwnAuthorization(t *testing.T) {
	source := &login{}
	server := (&api{refuses: always}).start(t)
	client := server.client(t, plain(auth.New(auth.Config{Source: source}))...)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "Authorization", "Basic own")
	if _, err := client.Check(ctx, check); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Check() = %v, want it refused", err)
	}
	stream, err := client.Watch(ctx, check)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("Recv() = %v, want it refused", err)
	}
	if got, want := server.seen(), "Basic own; Basic own"; got != want || source.count() != 0 {
		t.Errorf("the server saw %q after %d token requests, want %q after none", got, source.count(), want)
	}
}

// Tokens are sent over TLS, and not in the clear unless that is wanted.
func TestAuth38TransportSecurity(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	pool := x509.NewCertPool()
	pool.AddCert(certified.Certificate())
	secure := grpcauth.Credentials{Policy: auth.New(auth.Config{Source: &login{}})}

	server := new(api).start(t, grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0])))
	client := server.client(t, secure.DialOptions(grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(pool, "example.com")))...)
	if _, err := client.Check(t.Context(), check); err != nil || server.seen() != "Bearer AT1" {
		t.Errorf("Check() over TLS = %v with %q, want nil with a token", err, server.seen())
	}

	conn, err := grpc.NewClient(server.address, secure.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err == nil {
		_ = conn.Close()
		t.Error("NewClient() without TLS = nil, want an error")
	}

	// Credentials whose connections are not all encrypted.
	server = new(api).start(t, grpc.Creds(local.NewCredentials()))
	client = server.client(t, secure.DialOptions(grpc.WithTransportCredentials(local.NewCredentials()))...)
	if _, err := client.Check(t.Context(), check); !strings.Contains(fmt.Sprint(err), "insecure connection") || server.seen() != "" {
		t.Errorf("Check() over an unencrypted connection = %v with %q, want an error", err, server.seen())
	}
}

// Without the interceptors tokens are sent, if not replaced.
func TestAuth43PerRPCCredentials(t *testing.T) {
	server := (&api{refuses: is("Bearer AT1")}).start(t)
	c := grpcauth.Credentials{Policy: auth.New(auth.Config{Source: &login{}}), AllowInsecure: true}
	client := server.client(t, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(c))
	for range 2 {
		if _, err := client.Check(t.Context(), check); status.Code(err) != codes.Unauthenticated {
			t.Errorf("Check() = %v, want it refused", err)
		}
	}
	if got, want := server.seen(), "Bearer AT1; Bearer AT1"; got != want {
		t.Errorf("the server saw %q, want %q", got, want)
	}
}

// Each tenant's RPCs and streams carry its own token, and a refusal replaces only
// that.
func TestAuth41Tenants(t *testing.T) {
	type tenant struct{}
	sources := map[string]*login{"a": {name: "a"}, "b": {name: "b"}}
	tenants := auth.NewKeyed(auth.KeyedConfig{
		Key: func(ctx context.Context, _ policy.Call) (string, error) {
			name, _ := ctx.Value(tenant{}).(string)
			return name, nil
		},
		New: func(_ context.Context, name string) (auth.Config, error) {
			return auth.Config{Source: sources[name]}, nil
		},
	})
	server := (&api{refuses: is("Bearer AT1a")}).start(t)
	c := grpcauth.Credentials{Policy: tenants, AllowInsecure: true}
	client := server.client(t, c.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	for _, name := range []string{"b", "a", "b"} {
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), tenant{}, name))
		defer cancel()
		stream, err := client.Watch(ctx, check)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Recv()
		if _, err := client.Check(ctx, check); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
	}
	if _, err := client.Check(t.Context(), check); status.Code(err) != codes.Unauthenticated || !errors.Is(err, auth.ErrTokenUnavailable) {
		t.Errorf("Check() without a tenant = %v, want it not sent", err)
	}
	want := "Bearer AT1b; Bearer AT1b; Bearer AT1a; Bearer AT2a; Bearer AT1b; Bearer AT1b"
	if got := server.seen(); got != want {
		t.Errorf("the server saw %q, want %q", got, want)
	}
}

// Without a policy there is no token, and nothing is sent.
func TestNoPolicy(t *testing.T) {
	server := new(api).start(t)
	nothing := grpcauth.Credentials{AllowInsecure: true}.DialOptions(grpc.WithTransportCredentials(insecure.NewCredentials()))
	for _, options := range [][]grpc.DialOption{plain(nil), nothing} {
		client := server.client(t, options...)
		_, err := client.Check(t.Context(), check)
		_, watchErr := client.Watch(t.Context(), check)
		if status.Code(err) != codes.Internal || status.Code(watchErr) != codes.Internal || server.seen() != "" {
			t.Errorf("Check() = %v, Watch() = %v: want errors of code Internal", err, watchErr)
		}
	}
}
