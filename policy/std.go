package policy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"slices"
	"syscall"
)

// A kind is what is known of an error of the standard library.
type kind struct {
	class     Class
	errorType string
}

// known classifies the errors of the standard library. The order counts: a
// dial that the caller cancelled is both a dial error and a cancellation.
func known(err error) kind {
	if ordinary(err) {
		return kind{Transient, "_OTHER"}
	}
	switch {
	case errors.Is(err, context.Canceled):
		return kind{Canceled, "canceled"}
	case everywhere(err, isDNS):
		return kind{NotSent, "dns"}
	case everywhere(err, isDial):
		return kind{NotSent, "connect"}
	case Timeout(err), errors.Is(err, context.DeadlineExceeded):
		return kind{Transient, "timeout"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return kind{Transient, "connection_reset"}
	case isUntrusted(err):
		return kind{Permanent, "tls"}
	case is[tls.AlertError](err):
		return kind{Transient, "tls"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return kind{Transient, "eof"}
	case isMalformedURL(err), isHopeless(err):
		return kind{Permanent, "_OTHER"}
	default:
		return kind{Transient, "_OTHER"}
	}
}

// ordinary reports whether err and what it wraps are errors that nothing is known
// about, as most are that functions return. It takes one look at each to see that.
func ordinary(err error) bool {
	for err != nil {
		switch err { //nolint:errorlint // One error of a tree.
		case context.Canceled, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, errors.ErrUnsupported:
			return false
		}
		switch err.(type) { //nolint:errorlint // One error of a tree.
		case interface{ Is(error) bool }, interface{ As(any) bool }, interface{ Timeout() bool }, interface{ Unwrap() []error },
			*tls.CertificateVerificationError, tls.RecordHeaderError, tls.AlertError,
			x509.UnknownAuthorityError, x509.HostnameError, x509.CertificateInvalidError, url.EscapeError, url.InvalidHostError:
			return false
		}
		err = errors.Unwrap(err)
	}
	return true
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// everywhere reports whether ok holds for an error in every branch of err: of
// several joined errors, one that certainly had no effect says nothing about the
// others.
func everywhere(err error, ok func(error) bool) bool {
	if err == nil || ok(err) {
		return err != nil
	}
	switch e := err.(type) { //nolint:errorlint // It goes through the tree itself.
	case interface{ Unwrap() error }:
		return everywhere(e.Unwrap(), ok)
	case interface{ Unwrap() []error }:
		branches := e.Unwrap()
		return len(branches) > 0 && !slices.ContainsFunc(branches, func(err error) bool { return !everywhere(err, ok) })
	default:
		return false
	}
}

func isDNS(err error) bool {
	_, ok := err.(*net.DNSError) //nolint:errorlint // One error of a tree.
	return ok
}

func isDial(err error) bool {
	if e, ok := err.(*net.OpError); ok && e.Op == "dial" { //nolint:errorlint // One error of a tree.
		return true
	}
	return isDNS(err) || err == syscall.ECONNREFUSED //nolint:errorlint // One error of a tree.
}

// isUntrusted reports whether the peer is not who it ought to be, or does not
// speak TLS. Trying again does not change that.
func isUntrusted(err error) bool {
	return is[*tls.CertificateVerificationError](err) || is[tls.RecordHeaderError](err) ||
		is[x509.UnknownAuthorityError](err) || is[x509.HostnameError](err) || is[x509.CertificateInvalidError](err)
}

func isMalformedURL(err error) bool {
	if e, ok := errors.AsType[*url.Error](err); ok && e.Op == "parse" {
		return true
	}
	return is[url.EscapeError](err) || is[url.InvalidHostError](err)
}

// isHopeless reports whether what is asked for is not there, not permitted, or
// not possible.
func isHopeless(err error) bool {
	for _, known := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, errors.ErrUnsupported} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
