package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/evenkeel-go/evenkeel/policy"
)

// A credentialFunc returns what a client authenticates itself by.
type credentialFunc func(ctx context.Context) (string, error)

// get returns a credential. What names it in errors.
func (f credentialFunc) get(ctx context.Context, what string) (string, error) {
	credential, err := f(ctx)
	if err == nil && credential == "" {
		err = setupError(`want one, got ""`)
	}
	if err != nil {
		return "", withheld(ctx, what, err)
	}
	return credential, nil
}

// sendWithSecret sends form with the secret of secretFrom. If the server does not
// know that, it may have been replaced, so another is tried, once: whoever fails
// to authenticate has not used up the refresh token.
func (e endpoint) sendWithSecret(ctx context.Context, form url.Values) (token *oauth2.Token, err error) {
	if e.clientSecret, err = e.secretFrom.get(ctx, "client secret"); err != nil {
		return nil, err
	}
	token, err = e.send(ctx, form)
	if !isAnswer(err, "invalid_client") {
		return token, err
	}
	another, failure := e.secretFrom.get(ctx, "client secret")
	if failure != nil || another == e.clientSecret {
		return nil, err
	}
	e.clientSecret = another
	return e.send(ctx, form)
}

// assertionType is that of a JWT (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// addAssertion adds a new assertion to form, if the client authenticates itself
// by one.
func (e endpoint) addAssertion(ctx context.Context, form url.Values) error {
	if e.assertion == nil {
		return nil
	}
	assertion, err := e.assertion.get(ctx, "client assertion")
	if err != nil {
		return err
	}
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", assertion)
	return nil
}

// style returns how the client authenticates itself. It is never left to
// chance.
func (e endpoint) style() oauth2.AuthStyle {
	switch {
	case e.authStyle != oauth2.AuthStyleAutoDetect:
		return e.authStyle
	case e.clientSecret != "":
		return oauth2.AuthStyleInHeader
	default:
		return oauth2.AuthStyleInParams
	}
}

func (e endpoint) validateClient() (errs []error) {
	if e.clientID == "" {
		errs = append(errs, errors.New(`invalid ClientID "": want the one that the server knows the client by`))
	}
	if s := e.authStyle; s < oauth2.AuthStyleAutoDetect || s > oauth2.AuthStyleInHeader {
		errs = append(errs, fmt.Errorf("invalid AuthStyle %d: want AuthStyleInParams or AuthStyleInHeader", s))
	}
	if e.secretFrom != nil && e.clientSecret != "" {
		errs = append(errs, errors.New("invalid ClientSecret: want none beside SecretFrom"))
	}
	if e.assertion != nil && e.clientSecret != "" {
		errs = append(errs, errors.New("invalid ClientSecret: want none beside Assertion (RFC 6749, section 2.3)"))
	}
	if e.assertion != nil && e.secretFrom != nil {
		errs = append(errs, errors.New("invalid SecretFrom: want none beside Assertion (RFC 6749, section 2.3)"))
	}
	if e.assertion != nil && e.authStyle == oauth2.AuthStyleInHeader {
		errs = append(errs, errors.New("invalid AuthStyle AuthStyleInHeader: want AuthStyleInParams or none beside Assertion"))
	}
	return errs
}

// ownParams returns the parameters that other fields than Params stand for.
func (e endpoint) ownParams() []string {
	names := []string{"grant_type", "refresh_token", "scope", "client_id", "client_secret"}
	if e.assertion != nil {
		names = append(names, "client_assertion", "client_assertion_type")
	}
	return names
}

// A setupError says what is wrong with how a client is set up, and none of its
// secrets.
type setupError string

func (e setupError) Error() string { return string(e) }

// Class implements the method that [policy.ClassOf] asks for.
func (e setupError) Class() policy.Class { return policy.Permanent }

// withheld returns the error of a token request that is not made for want of a
// credential, because of err.
func withheld(ctx context.Context, what string, err error) error {
	told := safe(err)
	if cleaned := cleaned(ctx, err); cleaned != nil {
		// It is about another server than the token endpoint.
		retryAfter, _ := policy.RetryAfter(cleaned)
		return &requestError{what, told, policy.ClassOf(cleaned), policy.ErrorType(cleaned), retryAfter}
	}
	return &credentialError{what, told, err}
}

// A credentialError wraps the error of a foreign function, whose text may hold
// anything.
type credentialError struct {
	what string
	told error // or nil
	err  error
}

func (e *credentialError) Error() string {
	if e.told != nil {
		return e.what + ": " + e.told.Error()
	}
	return fmt.Sprintf("%s: an error of type %T", e.what, e.err)
}

func (e *credentialError) Unwrap() error { return e.err }
