package workflow

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// message returns the text of err. HTTP clients have the URL in it: what may be secret of
// that is left out, as a failure is kept where many may read it.
func message(err error) string {
	text := err.Error()
	for _, secret := range urls(err) {
		open := withoutSecrets(secret)
		text = strings.ReplaceAll(text, strconv.Quote(secret), strconv.Quote(open))
		text = strings.ReplaceAll(text, secret, open)
	}
	return text
}

// urls returns those of all errors that err wraps.
func urls(err error) (all []string) {
	if e, ok := err.(*url.Error); ok && e.URL != "" { //nolint:errorlint // One error of a tree.
		all = append(all, e.URL)
	}
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range list.Unwrap() {
			all = append(all, urls(err)...)
		}
	}
	if cause := errors.Unwrap(err); cause != nil {
		all = append(all, urls(cause)...)
	}
	return all
}

// withoutSecrets returns a URL without user, password, query and fragment.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "[redacted]"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}
