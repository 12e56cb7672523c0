package auth_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/evenkeel-go/evenkeel/auth"
)

func TestAuth23ParseChallenges(t *testing.T) {
	type params = map[string]string
	tests := []struct {
		values []string
		want   []auth.Challenge
	}{
		{nil, nil},
		{[]string{"", " ", ",", ", ,\t,"}, nil},
		{[]string{"Bearer"}, []auth.Challenge{{Scheme: "Bearer"}}},
		{[]string{`Bearer claims=abc`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"claims": "abc"}}}},
		{[]string{`Bearer claims="eyJ="`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"claims": "eyJ="}}}},
		{[]string{`Bearer claims=eyJ==`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"claims": "eyJ=="}}}},
		{[]string{`Negotiate a87421000492aa874209af8bc028==`}, []auth.Challenge{{Scheme: "Negotiate", Token68: "a87421000492aa874209af8bc028=="}}},
		{[]string{`Negotiate abc=, Bearer`}, []auth.Challenge{{Scheme: "Negotiate", Token68: "abc="}, {Scheme: "Bearer"}}},
		{ // RFC 9110, section 11.6.1
			[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]auth.Challenge{
				{Scheme: "Basic", Params: params{"realm": "simple"}},
				{Scheme: "Newauth", Params: params{"realm": "apps", "type": "1", "title": `Login to "apps"`}},
			},
		},
		{ // RFC 6750, section 3
			[]string{`Bearer realm="example", error="invalid_token", error_description="The access token expired, sorry"`},
			[]auth.Challenge{{Scheme: "Bearer", Params: params{"realm": "example", "error": "invalid_token", "error_description": "The access token expired, sorry"}}},
		},
		{[]string{`Bearer realm="a"`, `Basic realm="b"`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"realm": "a"}}, {Scheme: "Basic", Params: params{"realm": "b"}}}},
		{[]string{`Bearer ERROR = "x" , Scope= y`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"error": "x", "scope": "y"}}}},
		{[]string{`Bearer error="first", error="second"`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"error": "first"}}}},
		{[]string{`Basic, Bearer`, `Digest`}, []auth.Challenge{{Scheme: "Basic"}, {Scheme: "Bearer"}, {Scheme: "Digest"}}},
		{[]string{`Bearer a=1 b=2`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"a": "1", "b": "2"}}}}, // no comma

		// Things that must not be.
		{[]string{`Bearer error="unterminated, x=y`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"error": "unterminated, x=y"}}}},
		{[]string{`realm="x"`, `="x"`, `"`, `\`, "\x00"}, nil},
		{[]string{`Bearer error="a\`}, []auth.Challenge{{Scheme: "Bearer", Params: params{"error": `a\`}}}},
		{[]string{`Bearer @garbage, Basic realm=x`}, []auth.Challenge{{Scheme: "Bearer"}, {Scheme: "Basic", Params: params{"realm": "x"}}}},
	}
	for _, tt := range tests {
		if got := auth.ParseChallenges(tt.values); !slices.EqualFunc(got, tt.want, equalChallenges) {
			t.Errorf("%q:\ngot  %v\nwant %v", tt.values, got, tt.want)
		}
	}
}

func TestAuth23ChallengesAreBounded(t *testing.T) {
	if got := len(auth.ParseChallenges([]string{strings.Repeat("A,", 1000)})); got != 16 {
		t.Errorf("%d challenges, want 16", got)
	}
	if got := len(auth.ParseChallenges(slices.Repeat([]string{"A, B"}, 1000))); got != 16 {
		t.Errorf("%d challenges, want 16", got)
	}
	var many strings.Builder
	many.WriteString("Bearer ")
	for i := range 1000 {
		fmt.Fprintf(&many, "p%d=v,", i)
	}
	if got := len(auth.ParseChallenges([]string{many.String()})[0].Params); got != 16 {
		t.Errorf("%d parameters, want 16", got)
	}
	if got := auth.ParseChallenges([]string{"Bearer x=" + strings.Repeat("y", 1<<20)}); got != nil {
		t.Errorf("a header of 1 MiB holds %d challenges, want none", len(got))
	}
}

func FuzzAuth23ParseChallenges(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer", "Bearer claims=abc", `Bearer realm="x", error="invalid_token"`, "Negotiate abc==, Basic realm=y",
		`Bearer a="\"`, `Bearer a="`, `Bearer =`, `Bearer a= ,b`, ",,,", "a=b", `Digest qop="auth,auth-int", nonce=x`, "\x00\xff",
		`DPoP error="use_dpop_nonce", algs="ES256 PS256"`, "Bearer a=b\nBasic",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		values := strings.Split(header, "\n")
		got := auth.ParseChallenges(values)
		if len(got) > 16 {
			t.Fatalf("%d challenges", len(got))
		}
		size := 0
		for _, c := range got {
			size += len(c.Scheme) + len(c.Token68)
			for name, value := range c.Params {
				size += len(name) + len(value)
				if name != strings.ToLower(name) {
					t.Errorf("parameter %q is not in lower case", name)
				}
			}
			if c.Scheme == "" || len(c.Params) > 16 {
				t.Errorf("invalid challenge %v", c)
			}
		}
		if size > len(header) {
			t.Errorf("%d bytes of %d", size, len(header))
		}
		// Written properly, it reads the same.
		if again := auth.ParseChallenges([]string{write(got)}); !slices.EqualFunc(again, got, equalChallenges) {
			t.Errorf("%q reads\n%v, and written as %q\n%v", header, got, write(got), again)
		}
	})
}

// write writes challenges as RFC 9110 has it.
func write(challenges []auth.Challenge) string {
	var elements []string
	for _, c := range challenges {
		element := c.Scheme
		if c.Token68 != "" {
			element += " " + c.Token68
		}
		for _, name := range slices.Sorted(maps.Keys(c.Params)) {
			param := name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.Params[name]) + `"`
			if element == c.Scheme {
				element += " " + param
				continue
			}
			element += ", " + param
		}
		elements = append(elements, element)
	}
	return strings.Join(elements, ", ")
}

func equalChallenges(a, b auth.Challenge) bool { return reflect.DeepEqual(a, b) }
