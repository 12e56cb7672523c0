package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A statusError is an RPC's error as policies see it.
type statusError struct {
	error
	class policy.Class
}

func (e *statusError) Unwrap() error       { return e.error }
func (e *statusError) Class() policy.Class { return e.class }

// classified returns the error of an RPC with the class of its status.
func classified(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return &statusError{err, classOf(s.Code())}
	}
	return &statusError{err, policy.ClassOf(err)} // of another interceptor
}

// classOf returns the class of a code, as far as it says something about the
// token: whether it is refused, or accepted.
func classOf(code codes.Code) policy.Class {
	switch code {
	case codes.Unauthenticated:
		return policy.Unauthenticated
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied,
		codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return policy.Permanent
	default:
		return policy.Transient
	}
}

// told returns the error that the caller of an RPC gets: that of the RPC, as it
// came, or why there was no token.
func told(ctx context.Context, err error) error {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.error
	}
	return failed(ctx, err)
}

// failed returns the error of an RPC for which there is no token.
func failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return &tokenError{err, codeOf(ctx, err)}
}

func codeOf(ctx context.Context, err error) codes.Code {
	switch {
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Code()
	case policy.ClassOf(err) == policy.Rejected:
		return codes.Unauthenticated
	case policy.ClassOf(err) == policy.Permanent: // nothing about the token
		return codes.Internal
	default:
		return codes.Unavailable
	}
}

// A tokenError is why there is no token, with a status.
type tokenError struct {
	error
	code codes.Code
}

func (e *tokenError) Unwrap() error { return e.error }

// GRPCStatus is what package status asks for.
func (e *tokenError) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }
