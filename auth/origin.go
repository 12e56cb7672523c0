package auth

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// covers reports whether the token may be sent to the origin that key is. Keys
// that are none belong to calls that are not HTTP, of which origins say nothing.
func (p *Policy) covers(key string) bool {
	return len(p.config.Origins) == 0 || !isHTTP(key) ||
		slices.Contains(p.config.Origins, key) || slices.Contains(p.config.Origins, normalOrigin(key))
}

// insecure reports whether key is an origin that a token would travel to in
// the clear, and further than to this machine.
func insecure(key string) bool {
	if !hasPrefixFold(key, "http://") {
		return false
	}
	u, err := url.Parse(key)
	return err != nil || !isLoopback(u.Hostname())
}

func isHTTP(key string) bool { return hasPrefixFold(key, "https://") || hasPrefixFold(key, "http://") }

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isLoopback reports whether host is this machine. Names below localhost may
// be looked up, and sent through a proxy, like any other.
func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// normalOrigin returns the origin s in the one way to write it (RFC 6454,
// section 6.2): in lower case, without the scheme's own port. It returns the
// empty string if s is not the origin of something on http or https.
func normalOrigin(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme { // in lower case already
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	return u.Scheme + "://" + host
}
