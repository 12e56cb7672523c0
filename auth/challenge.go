package auth

import (
	"errors"
	"net/http"
	"strings"
)

// A Challenge says how a server wants to be authenticated to (RFC 9110, section
// 11.3). It is what the server sent, and may be meant to mislead.
type Challenge struct {
	Scheme  string            // as sent; to be compared without regard to case
	Token68 string            // what follows the scheme if it is no list of parameters
	Params  map[string]string // by name, in lower case
}

// challengesOf returns the challenges that err offers.
func challengesOf(err error) []Challenge {
	if e, ok := offersChallenges(err); ok {
		return parseChallenges(e.Challenges())
	}
	return nil
}

// statusOf returns the status of a refusal, as far as it is known to be HTTP's.
func statusOf(err error) int {
	if _, ok := offersChallenges(err); ok {
		return http.StatusUnauthorized
	}
	return 0
}

type challenger interface {
	error
	// Challenges returns the values of all WWW-Authenticate headers.
	Challenges() []string
}

func offersChallenges(err error) (challenger, bool) { return errors.AsType[challenger](err) }

// judge returns what challenges to credentials of the given scheme say of the
// token (RFC 6750, section 3). An empty scheme is any. Many servers do not say why
// they refuse a token; then it is the token. It is not enough only if steps says
// that something can be done about that.
func judge(challenges []Challenge, scheme string, steps bool) verdict {
	v := good
	if len(challenges) == 0 {
		v = refused
	}
	for _, c := range challenges {
		if scheme != "" && !strings.EqualFold(c.Scheme, scheme) {
			continue
		}
		_, claims := c.Params["claims"] // what more Microsoft's servers want to know
		code := c.Params["error"]
		switch {
		case steps && claims:
			return notEnough
		case code == "", code == "invalid_token":
			v = refused
		case steps && code != needsNonce && code != badProof: // insufficient_user_authentication (RFC 9470), insufficient_scope
			return notEnough
		default:
			return good
		}
	}
	return v
}

// What challenges may cost. Nobody sends as much.
const (
	maxChallengeBytes = 16 << 10 // in all values
	maxChallenges     = 16
	maxParams         = 16 // of a challenge
)

// parseChallenges parses the values of WWW-Authenticate headers (RFC 9110,
// section 11.6.1). It forgives what real servers do, and leaves out what it
// cannot make sense of.
func parseChallenges(values []string) []Challenge {
	var challenges []Challenge
	budget := maxChallengeBytes
	for _, value := range values {
		if budget -= len(value); budget < 0 {
			break
		}
		p := parser{rest: value}
		p.parse()
		challenges = append(challenges, p.challenges...)
	}
	return challenges[:min(len(challenges), maxChallenges)]
}

// A parser parses the value of one header.
type parser struct {
	rest       string
	challenges []Challenge
}

// parse goes through a list whose elements are schemes, with what belongs to
// them, and parameters of the scheme before.
func (p *parser) parse() {
	for first := true; len(p.challenges) <= maxChallenges; first = false {
		begins := strings.Contains(p.skip(" \t,"), ",") || first
		if p.rest == "" {
			return
		}
		name := p.take(isTokenByte)
		switch {
		case name != "" && p.cutEquals():
			p.add(strings.ToLower(name), p.value())
		case name != "" && begins:
			p.challenges = append(p.challenges, Challenge{Scheme: name, Token68: p.token68()})
		default: // garbage
			p.take(func(c byte) bool { return c != ',' })
		}
	}
}

// add adds a parameter to the last challenge. Of several with the same name,
// which must not be, the first counts.
func (p *parser) add(name, value string) {
	if len(p.challenges) == 0 {
		return
	}
	c := &p.challenges[len(p.challenges)-1]
	if _, ok := c.Params[name]; ok || len(c.Params) == maxParams {
		return
	}
	if c.Params == nil {
		c.Params = make(map[string]string)
	}
	c.Params[name] = value
}

// token68 takes what follows a scheme, if it is no parameter.
func (p *parser) token68() string {
	q := parser{rest: p.rest}
	if q.skip(" ") == "" {
		return ""
	}
	value := q.take(isToken68Byte)
	if value == "" {
		return ""
	}
	value += q.skip("=")
	q.skip(" \t")
	if q.rest != "" && q.rest[0] != ',' {
		return ""
	}
	p.rest = q.rest
	return value
}

// cutEquals takes the sign between a parameter's name and its value.
func (p *parser) cutEquals() bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " \t"), "=")
	if ok {
		p.rest = strings.TrimLeft(rest, " \t")
	}
	return ok
}

// value takes the value of a parameter, quoted or not. Unquoted it should be a
// token, but may be more.
func (p *parser) value() string {
	if rest, ok := strings.CutPrefix(p.rest, `"`); ok {
		p.rest = rest
		return p.quoted()
	}
	return p.take(func(c byte) bool { return c != ',' && c != ' ' && c != '\t' })
}

// quoted takes the rest of a quoted string (RFC 9110, section 5.6.4).
func (p *parser) quoted() string {
	var value []byte
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return string(value)
		case c == '\\' && i+1 < len(p.rest):
			i++
			value = append(value, p.rest[i])
		default:
			value = append(value, c)
		}
	}
	p.rest = "" // it does not end
	return string(value)
}

// take takes the bytes at the front that ok holds for.
func (p *parser) take(ok func(byte) bool) string {
	n := 0
	for n < len(p.rest) && ok(p.rest[n]) {
		n++
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// skip takes the bytes at the front that are in set.
func (p *parser) skip(set string) string {
	return p.take(func(c byte) bool { return strings.IndexByte(set, c) >= 0 })
}

func isToken68Byte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0
}
