package auth_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
)

// Whatever challenges there are, and however RFC 9110, section 11.6.1, allows to write
// them: they are read as they were meant.
func FuzzAuth23WrittenChallenges(f *testing.F) {
	for seed := range uint64(1000) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		s := scribe{rand.New(rand.NewPCG(seed, 0))}
		want := s.challenges()
		values := s.write(want)
		if got := auth.ParseChallenges(values); !slices.EqualFunc(got, want, equalChallenges) {
			t.Errorf("%q reads\n%q, want\n%q", values, got, want)
		}
	})
}

// A scribe makes up challenges, and writes them as it likes.
type scribe struct{ *rand.Rand }

const (
	alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	tokenBytes   = alphanumeric + "!#$%&'*+-.^_`|~" // RFC 9110, section 5.6.2
	token68Bytes = alphanumeric + "-._~+/"          // section 11.2
	quotedBytes  = tokenBytes + "\t ,=()[]{}<>@:;/?\"\\\x80\xff"
)

// challenges returns up to 5.
func (s scribe) challenges() (all []auth.Challenge) {
	for range s.IntN(6) {
		c := auth.Challenge{Scheme: s.text(tokenBytes, 1)}
		switch s.IntN(4) {
		case 0:
		case 1:
			c.Token68 = s.text(token68Bytes, 1) + strings.Repeat("=", s.IntN(3))
		default:
			c.Params = make(map[string]string)
			for range 1 + s.IntN(4) {
				c.Params[strings.ToLower(s.text(tokenBytes, 1))] = s.text(quotedBytes, 0)
			}
		}
		all = append(all, c)
	}
	return all
}

// text returns up to 8 of the given bytes, and no fewer than so many.
func (s scribe) text(of string, atLeast int) string {
	text := make([]byte, atLeast+s.IntN(9-atLeast))
	for i := range text {
		text[i] = of[s.IntN(len(of))]
	}
	return string(text)
}

// write returns the values of as many headers as it takes a fancy to.
func (s scribe) write(challenges []auth.Challenge) []string {
	values := []string{s.gap(" \t,")}
	for _, c := range challenges {
		last := &values[len(values)-1]
		switch {
		case s.IntN(3) == 0:
			values = append(values, s.gap(" \t,")+s.challenge(c)+s.gap(" \t"))
		case strings.Trim(*last, " \t,") == "":
			*last += s.challenge(c) + s.gap(" \t")
		default:
			*last += s.comma() + s.challenge(c) + s.gap(" \t")
		}
	}
	return values
}

func (s scribe) challenge(c auth.Challenge) string {
	text := c.Scheme
	if c.Token68 != "" {
		return text + " " + s.gap(" ") + c.Token68
	}
	separator := " " + s.gap(" ")
	names := slices.Sorted(maps.Keys(c.Params))
	s.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		text += separator + s.anyCase(name) + s.gap(" \t") + "=" + s.gap(" \t") + s.value(c.Params[name])
		separator = s.comma()
	}
	return text
}

// value returns a token as it is if it is one, or quoted.
func (s scribe) value(value string) string {
	if value != "" && strings.Trim(value, tokenBytes) == "" && s.IntN(2) == 0 {
		return value
	}
	var text strings.Builder
	text.WriteByte('"')
	for i := range len(value) {
		if value[i] == '"' || value[i] == '\\' || s.IntN(8) == 0 { // others need not be escaped
			text.WriteByte('\\')
		}
		text.WriteByte(value[i])
	}
	text.WriteByte('"')
	return text.String()
}

// anyCase returns a name with some letters in upper case.
func (s scribe) anyCase(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' && s.IntN(3) == 0 {
			return r - 'a' + 'A'
		}
		return r
	}, name)
}

// comma returns what stands between the elements of a list, some of which may be empty
// (section 5.6.1.2).
func (s scribe) comma() string { return s.gap(" \t") + "," + s.gap(" \t,") }

// gap returns some of the given bytes, and mostly none.
func (s scribe) gap(of string) string {
	if s.IntN(2) == 0 {
		return ""
	}
	gap := make([]byte, s.IntN(4))
	for i := range gap {
		gap[i] = of[s.IntN(len(of))]
	}
	return string(gap)
}
