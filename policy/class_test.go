package policy_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/evenkeel-go/evenkeel/policy"
)

// throttled is an error that answers for itself in every respect.
type throttled struct{ error }

func (throttled) Class() policy.Class { return policy.Throttled }
func (throttled) NoEffect() bool      { return true }
func (throttled) Final() bool         { return true }
func (throttled) ErrorType() string   { return "quota" }

// An eofError is io.EOF to those who ask by Is, and a lateError a timeout to those who ask by As.
type (
	eofError  struct{ error }
	lateError struct{ error }
)

func (eofError) Is(target error) bool { return target == io.EOF }

func (lateError) As(target any) bool {
	t, ok := target.(*interface {
		error
		Timeout() bool
	})
	if ok {
		*t = os.ErrDeadlineExceeded.(interface {
			error
			Timeout() bool
		})
	}
	return ok
}

func TestClassOf(t *testing.T) {
	_, malformed := url.Parse("http://[::1")
	tests := []struct {
		name      string
		err       error
		class     policy.Class
		errorType string
		noEffect  bool
	}{
		{"unknown", errors.New("unknown"), policy.Transient, "_OTHER", false},
		{"says so itself", throttled{errors.New("quota")}, policy.Throttled, "quota", true},
		{"says so itself, wrapped", fmt.Errorf("wrapped: %w", throttled{errors.New("quota")}), policy.Throttled, "quota", true},
		{"says so itself, joined", errors.Join(errors.New("other"), throttled{errors.New("quota")}), policy.Throttled, "quota", true},
		{"with class", policy.WithClass(errors.New("bad"), policy.Permanent), policy.Permanent, "_OTHER", false},
		{"with class, over the cause's", policy.WithClass(context.Canceled, policy.Transient), policy.Transient, "canceled", false},
		{"with class, not sent", policy.WithClass(errors.New("queued"), policy.NotSent), policy.NotSent, "_OTHER", true},
		{"rejected", fmt.Errorf("full: %w", policy.ErrRejected), policy.Rejected, "_OTHER", true},
		{"unauthenticated", fmt.Errorf("token: %w", policy.ErrUnauthenticated), policy.Unauthenticated, "auth", false},
		{"canceled", context.Canceled, policy.Canceled, "canceled", false},
		{"deadline", context.DeadlineExceeded, policy.Transient, "timeout", false},
		{"I/O deadline", os.ErrDeadlineExceeded, policy.Transient, "timeout", false},
		{"network timeout", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, policy.Transient, "timeout", false},
		{"dial", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, policy.NotSent, "connect", true},
		{"dial timeout", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, policy.NotSent, "connect", true},
		{"dial canceled", &net.OpError{Op: "dial", Err: context.Canceled}, policy.Canceled, "canceled", false},
		{"refused", &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}, policy.NotSent, "connect", true},
		{"DNS", &net.DNSError{Err: "no such host", Name: "example.invalid"}, policy.NotSent, "dns", true},
		{"reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, policy.Transient, "connection_reset", false},
		{"broken pipe", &net.OpError{Op: "write", Err: syscall.EPIPE}, policy.Transient, "connection_reset", false},
		{"EOF", io.EOF, policy.Transient, "eof", false},
		{"unexpected EOF", fmt.Errorf("body: %w", io.ErrUnexpectedEOF), policy.Transient, "eof", false},
		{"certificate", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, policy.Permanent, "tls", false},
		{"no TLS", tls.RecordHeaderError{Msg: "not TLS"}, policy.Permanent, "tls", false},
		{"TLS alert", tls.AlertError(80), policy.Transient, "tls", false},
		{"no such file", fs.ErrNotExist, policy.Permanent, "_OTHER", false},
		{"not permitted", &os.PathError{Op: "open", Path: "/", Err: syscall.EACCES}, policy.Permanent, "_OTHER", false},
		{"dial of a missing socket", &net.OpError{Op: "dial", Err: syscall.ENOENT}, policy.NotSent, "connect", true},
		{"one of several not sent", errors.Join(io.ErrUnexpectedEOF, syscall.ECONNREFUSED), policy.Transient, "eof", false},
		{"several not sent", errors.Join(&net.DNSError{}, &os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}), policy.NotSent, "connect", true},
		{"exists", fs.ErrExist, policy.Permanent, "_OTHER", false},
		{"no permission", fs.ErrPermission, policy.Permanent, "_OTHER", false},
		{"invalid", fs.ErrInvalid, policy.Permanent, "_OTHER", false},
		{"EOF to those who ask", eofError{errors.New("end")}, policy.Transient, "eof", false},
		{"timeout to those who ask", lateError{errors.New("late")}, policy.Transient, "timeout", false},
		{"unknown certificate", &tls.CertificateVerificationError{Err: errors.New("unknown")}, policy.Permanent, "tls", false},
		{"unknown authority", x509.UnknownAuthorityError{}, policy.Permanent, "tls", false},
		{"other host", x509.HostnameError{Certificate: new(x509.Certificate)}, policy.Permanent, "tls", false},
		{"invalid certificate", x509.CertificateInvalidError{}, policy.Permanent, "tls", false},
		{"malformed escape", url.EscapeError("%"), policy.Permanent, "_OTHER", false},
		{"malformed host", url.InvalidHostError(" "), policy.Permanent, "_OTHER", false},
		{"unsupported", errors.ErrUnsupported, policy.Permanent, "_OTHER", false},
		{"malformed URL", malformed, policy.Permanent, "_OTHER", false},
		{"URL error of a refused connection", &url.Error{Op: "Get", URL: "http://localhost", Err: syscall.ECONNREFUSED}, policy.NotSent, "connect", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := policy.ClassOf(tt.err); got != tt.class {
				t.Errorf("ClassOf(%v) = %v, want %v", tt.err, got, tt.class)
			}
			if got := policy.ErrorType(tt.err); got != tt.errorType {
				t.Errorf("ErrorType(%v) = %q, want %q", tt.err, got, tt.errorType)
			}
			if got := policy.NoEffect(tt.err); got != tt.noEffect {
				t.Errorf("NoEffect(%v) = %v, want %v", tt.err, got, tt.noEffect)
			}
		})
	}
}

func TestWithClassKeepsTheCause(t *testing.T) {
	if err := policy.WithClass(nil, policy.Permanent); err != nil {
		t.Errorf("WithClass(nil) = %v, want nil", err)
	}
	err := policy.WithClass(fmt.Errorf("read: %w", io.EOF), policy.Rejected)
	if got, want := err.Error(), "read: EOF"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	for _, target := range []error{io.EOF, policy.ErrRejected} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is(%v, %v) = false, want true", err, target)
		}
	}
	if errors.Is(err, policy.ErrUnauthenticated) {
		t.Errorf("errors.Is(%v, %v) = true, want false", err, policy.ErrUnauthenticated)
	}
}

func TestTimeout(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{io.EOF, false},
		{context.Canceled, false},
		{context.DeadlineExceeded, true},
		{fmt.Errorf("read: %w", os.ErrDeadlineExceeded), true},
		{policy.WithClass(&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, policy.Permanent), true},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
	} {
		if got := policy.Timeout(tt.err); got != tt.want {
			t.Errorf("Timeout(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}

func TestFinal(t *testing.T) {
	if policy.Final(io.EOF) {
		t.Error("Final(EOF) = true, want false")
	}
	if !policy.Final(fmt.Errorf("wrapped: %w", throttled{io.EOF})) {
		t.Error("Final() = false of an error that says so itself, want true")
	}
}

func TestClassString(t *testing.T) {
	if got := policy.NotSent.String(); got != "not_sent" {
		t.Errorf("String() = %q, want %q", got, "not_sent")
	}
	if got := policy.Class(99).String(); got != "invalid" {
		t.Errorf("String() = %q, want %q", got, "invalid")
	}
}
